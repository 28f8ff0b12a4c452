"""What notebooks show of results."""

import mneme
from mneme import Candidate, Explanation, Hit, SemanticCache
from mneme.testing import HashEmbedder


def test_results_are_tables_in_a_notebook():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        cache.put("<b>question</b> & more", "<script>alert(1)</script>" + "x" * 1000)
        for shown in (cache.get("<b>question</b> & more"), *cache.lookup("question"), *cache.entries()):
            html = shown._repr_html_()
            assert f"<b>{type(shown).__name__}</b>" in html
            assert "&lt;script&gt;" in html
            assert "<script>" not in html
            assert len(html) < 5000
        html = cache.explain("<b>question</b> & more")._repr_html_()
        assert html.count("<table>") == 2
        assert "accepted" in html
        assert "hits_exact" in cache.stats()._repr_html_()
        assert "healthy" in cache.health()._repr_html_()


def test_an_explanation_without_candidates_is_shown_as_well():
    explanation = Explanation("q", "q", "default", None, 0.85, None, "no_match", ())
    assert explanation._repr_html_().count("<table>") == 1


def test_what_is_shown_takes_no_room_in_what_is_returned():
    for kind in (Hit, Candidate, mneme.Stats):
        assert not hasattr(kind, "__dict__") or "__dict__" not in vars(kind)
        assert "__slots__" in vars(kind)
    hit = Hit("r", 1.0, 1.0, 0.0, "exact", "default", {}, "q", 1)
    assert not hasattr(hit, "__dict__")
