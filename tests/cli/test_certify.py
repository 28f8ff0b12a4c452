"""`mneme certify`: from a file of labelled traffic to a certificate that a cache keeps, or to what is missing."""

import json

import pytest

from cli.conftest import HASH
from mneme import Certificate, SemanticCache
from mneme.testing import HashEmbedder

VERBS = ("repair my kettle", "find the library", "grow tomatoes", "change a tyre")


def spelt(number):
    """A number as a word, which no guard takes for one."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def lines(each):
    return [
        {"text": f"please tell me how do I {verb} says {spelt(number)}", "answer": verb}
        for number in range(each)
        for verb in VERBS
    ]


@pytest.fixture
def traffic(tmp_path):
    path = tmp_path / "traffic.jsonl"
    path.write_text("\n".join(map(json.dumps, lines(90))), encoding="utf-8")
    return path


FAST = (*HASH, "--grid", "0.98,0.9,0.85,0.8")


def test_it_shows_what_is_certified(mneme, traffic):
    ran = mneme("certify", traffic, *FAST, "--valid-days", "30")
    assert ran.code == 0, ran.err
    facts = dict(line.split(": ", 1) for line in ran.out.splitlines())
    assert facts["promise"] == "at most 2.00% of semantic hits wrong, with a confidence of 0.95"
    assert facts["namespace"] == "all"
    assert facts["valid for"] == "30 days"
    document = mneme("certify", traffic, *FAST, "--json", "--namespace", "shop").document
    certificate = Certificate.from_json(json.dumps(document["certificate"]))
    assert f"{certificate.threshold:g}" == facts["threshold"]
    assert facts["seen"] == f"0 of {certificate.hits} hits wrong, in 360 distinct queries"
    assert certificate.namespace == "shop"
    assert document["shortage"] is None


def test_it_is_kept_with_a_cache_and_written_into_a_file(mneme, traffic, filled, tmp_path):
    ran = mneme("certify", traffic, *FAST, "--database", filled, "--output", tmp_path / "c.json")
    assert ran.code == 0, ran.err
    assert "a cache opened with similarity_threshold='certified' is served by it" in ran.out
    assert "it does not hold yet" in ran.out
    with SemanticCache(filled, HashEmbedder(), similarity_threshold="certified") as cache:
        status = cache.certificate()
        assert status.certificate == Certificate.from_json((tmp_path / "c.json").read_text(encoding="utf-8"))
        assert status.reason == "entries"


def test_what_is_missing_is_a_no(mneme, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("text,answer\n" + "\n".join(f"{one['text']},{one['answer']}" for one in lines(10)), encoding="utf-8")
    ran = mneme("certify", few, *FAST)
    assert ran.code == 1
    assert "nothing can be certified: too few labelled hits" in ran.out
    document = mneme("certify", few, *FAST, "--json").document
    assert document["certificate"] is None
    assert document["shortage"]["missing_hits"] > 200


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "no labelled queries"), ('{"text": "q"}', "line 1: has no 'answer'"), ("{", "line 1: no JSON")],
)
def test_a_file_that_is_wrong_is_a_failure(mneme, tmp_path, content, says):
    path = tmp_path / "t.jsonl"
    path.write_text(content, encoding="utf-8")
    ran = mneme("certify", path, *HASH)
    assert ran.code == 3
    assert says in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--max-false-hit-rate", "0"), "max_false_hit_rate must be above 0"),
        (("--confidence", "1"), "confidence must be above 0 and below 1"),
        (("--warmup", "360"), "leaves nothing"),
        (("--valid-days", "0"), "valid_for must be more than 0"),
    ],
)
def test_wrong_usage_is_code_2(mneme, traffic, arguments, says):
    ran = mneme("certify", traffic, *FAST, *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert mneme("certify", traffic, "--embedder", "none").code == 2


def test_thresholds_of_value_contrast_may_be_above_one(mneme, traffic):
    ran = mneme("certify", traffic, *HASH, "--value-contrast", "--grid", "1.4,1.3,1.2,1.1")
    assert ran.code in (0, 1), ran.err
    assert "from 0 to 1, got 1.3" in mneme("certify", traffic, *HASH, "--grid", "1.4,1.3").err
    assert mneme("certify", traffic, *HASH, "--grid", "0:inf:0.1").code == 2


def test_a_place_that_is_not_there_is_said_before_anything_is_replayed(mneme, traffic, tmp_path):
    for option in ("--output", "--database"):
        ran = mneme("certify", traffic, *FAST, option, tmp_path / "nowhere" / "file")
        assert ran.code == 3
        assert "nowhere" in ran.err
        assert "threshold" not in ran.out


def test_a_cache_of_another_embedder_is_refused(mneme, traffic, cache_path):
    SemanticCache(cache_path, HashEmbedder(32)).close()
    ran = mneme("certify", traffic, *FAST, "--database", cache_path)
    assert ran.code == 3
    assert "dim=32" in ran.err
