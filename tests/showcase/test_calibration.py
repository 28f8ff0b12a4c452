"""Labels become a curve, a threshold and a promise; nothing is promised before there is enough to promise it from."""

import json

import numpy as np
import pytest

from mneme import Certificate
from mneme.calibration.files import read_pairs
from mneme.testing import HashEmbedder
from mneme.tools.calibrate import certify
from showcase.work import calibration
from showcase.work.calibration import CAREFUL, RATES, Bench, least_hits
from showcase.work.inputs import BadInputError
from showcase.work.questions import GRID, Duo, Pool, Question, written
from showcase.work.remembered import Remembered
from showcase.work.teaching import Guess, most_teaching


@pytest.fixture(scope="module")
def pool(remembered):
    return Pool(written(), remembered)


@pytest.fixture
def bench(pool):
    return Bench(pool)


@pytest.fixture
def small():
    """A bench with few questions and quick vectors."""
    texts = ["please open the door", "please open the doors", "open the door please", "close the window"]
    return Bench(Pool([Question(text, text.startswith("close")) for text in texts], Remembered(HashEmbedder(64))))


def test_with_few_labels_there_is_a_threshold_that_tells_the_pairs_apart(bench):
    assert bench.curve() is None
    assert bench.fill("teaching", 30) == 30
    curve = bench.curve()
    assert curve.same + curve.different == 30
    assert min(curve.same, curve.different) >= 5  # what it asks about is in doubt, so both answers come up
    assert 0.6 <= curve.threshold <= 0.9
    thresholds = [point.threshold for point in curve.points]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] >= 0.5
    assert curve.careful is None or curve.careful >= curve.threshold


def test_a_careful_threshold_is_the_lowest_that_is_right_often_enough_and_there_may_be_none(bench):
    bench.fill("teaching", 200)
    curve = bench.curve()
    precise = [point.threshold for point in curve.points if point.precision >= CAREFUL]
    assert curve.careful == min(precise)
    bench.clear()
    *_, second, most_alike = sorted(bench.pool.pairs, key=bench.pool.similarity)
    bench.label(most_alike.first, most_alike.second, same=False)
    bench.label(second.first, second.second, same=True)
    assert bench.curve().careful is None


def test_the_way_of_the_threshold_ends_where_the_curve_has_it(bench):
    bench.fill("teaching", 25)
    moves = bench.moves()
    assert len(moves) == 25
    assert moves[-1] == bench.curve().threshold
    assert moves[0] is None
    bench.undo()
    assert bench.moves() == moves[:-1]
    bench.fill("teaching", 1)
    assert bench.moves() == moves


def test_the_pairs_that_teach_are_those_in_doubt(bench):
    labels = []
    for _ in range(20):
        asked = bench.next("teaching")
        labels.append(bench.label(asked.duo.first, asked.duo.second, bench.pool.author_says(asked.duo)))
    assert all(0.6 <= label.similarity <= 0.95 for label in labels)


def test_nothing_is_promised_before_enough_is_labelled_and_it_is_said_what_is_missing(bench):
    guarantee = bench.guarantee(0.1)
    assert (guarantee.threshold, guarantee.missing_hits) == (None, least_hits(0.1))
    bench.fill("arrival", 40)
    later = bench.guarantee(0.1)
    assert later.threshold is None
    assert 0 < later.missing_hits < guarantee.missing_hits
    assert "too few labelled hits" in later.reason


def test_the_promise_is_the_one_that_certify_makes_of_the_same_traffic(bench):
    bench.fill("arrival", 1000)
    assert bench.next("arrival") is None
    guarantee = bench.guarantee(0.1)
    traffic = bench.traffic()
    assert len(traffic) == guarantee.requests == len(written())
    outcome = certify(traffic, bench.pool.embedder, max_false_hit_rate=0.1, grid=GRID)
    assert isinstance(outcome, Certificate)
    assert (guarantee.threshold, guarantee.hits, guarantee.false_hits) == (
        outcome.threshold,
        outcome.hits,
        outcome.false_hits,
    )
    assert guarantee.reason == ""
    assert bench.guarantee(0.05).threshold is None  # it takes twice as many labels to promise half as much


def test_a_label_that_is_changed_changes_the_promise(bench):
    bench.fill("arrival", 60)
    before = bench.guarantee(0.2)
    for duo in [duo for duo in bench.pool.nearest if duo is not None][:60]:
        bench.label(duo.first, duo.second, same=False)
    after = bench.guarantee(0.2)
    assert after.requests == before.requests
    assert after.false_hits == after.hits > 0
    assert before.false_hits < before.hits


def test_labelling_in_order_of_arrival_stops_at_the_first_gap(small):
    first = small.next("arrival")
    small.label(first.duo.first, first.duo.second, same=True)
    known = len(small.traffic())
    missing = small.next("arrival")
    assert known == missing.duo.second
    small.label(missing.duo.first, missing.duo.second, same=False)
    answers = dict(small.traffic())
    one, other = small.pool.texts(first.duo)
    assert answers[one] == answers[other]
    one, other = small.pool.texts(missing.duo)
    assert answers[one] != answers[other]


def test_a_pair_near_enough_for_a_threshold_is_never_taken_for_new(pool):
    for row, nearest in enumerate(pool.nearest):
        best = pool.similarities[row, :row].max() if row else 0.0
        assert (nearest is None) == (best < min(GRID) - 1e-3)


def test_a_label_can_be_taken_back_and_the_latest_word_counts(small):
    asked = small.next("teaching")
    small.label(asked.duo.first, asked.duo.second, same=True)
    small.label(asked.duo.first, asked.duo.second, same=False)
    [label] = small.labels()
    assert not label.same
    assert small.undo() == label
    assert small.undo() is None
    assert small.next("teaching") == asked


def test_what_was_worked_out_while_somebody_changed_a_label_is_not_kept_for_the_new_one(small, monkeypatch):
    first, second = list(small.pool.pairs)[:2]
    small.label(first.first, first.second, same=True)

    def meanwhile(name, duo, *, same):
        real, calls = getattr(calibration, name), []

        def changed(*args, **options):
            if not calls:
                small.label(duo.first, duo.second, same=same)
            calls.append(args[0])
            return real(*args, **options)

        monkeypatch.setattr(calibration, name, changed)
        return calls

    small.label(second.first, second.second, same=False)
    meanwhile("_balanced", second, same=True)
    assert small.moves()[-1] is not None
    assert small.moves() == (None, None)  # nothing was said to differ any more

    arriving = next(filter(None, small.pool.nearest))
    small.label(arriving.first, arriving.second, same=True)
    replayed = meanwhile("certify", arriving, same=False)
    before = small.traffic()
    small.guarantee(0.1)
    assert small.traffic() != before
    small.guarantee(0.1)
    assert replayed == [before, small.traffic()]


def test_a_skipped_pair_does_not_come_again_until_all_is_cleared(small):
    asked = small.next("teaching")
    small.skip(asked.duo.first, asked.duo.second)
    assert small.next("teaching") != asked
    small.clear()
    assert small.next("teaching") == asked


def test_when_all_pairs_are_labelled_there_is_nothing_more_to_ask(small):
    small.fill("teaching", 100)
    assert small.next("teaching") is None
    assert len(small.labels()) == len(small.pool.pairs)


def test_exported_labels_are_what_the_command_reads(bench, tmp_path):
    bench.fill("teaching", 12)
    file = tmp_path / "pairs.jsonl"
    file.write_text(bench.export_pairs(), encoding="utf-8")
    same, different = read_pairs(file)
    labels = bench.labels()
    assert same == [(one.first, one.second) for one in labels if one.same]
    assert different == [(one.first, one.second) for one in labels if not one.same]


def test_exported_traffic_is_what_is_certified(bench):
    bench.fill("arrival", 20)
    rows = [json.loads(line) for line in bench.export_traffic().splitlines()]
    assert [(row["text"], row["answer"]) for row in rows] == bench.traffic()


@pytest.mark.parametrize(("first", "second"), [(0, 0), (-1, 3), (5, 4), (0, 10**9)])
def test_what_is_no_pair_is_refused(small, first, second):
    with pytest.raises(BadInputError, match="no pair"):
        small.label(first, second, same=True)
    with pytest.raises(BadInputError, match="no pair"):
        small.skip(first, second)
    assert small.labels() == ()


def test_a_promise_of_another_size_is_refused(small):
    with pytest.raises(BadInputError, match="must be one of"):
        small.guarantee(0.5)


def test_two_people_do_not_label_for_each_other(pool):
    ones, others = Bench(pool), Bench(pool)
    ones.fill("teaching", 3)
    assert others.labels() == ()


def test_a_guess_rises_with_similarity_and_follows_the_labels():
    before = Guess([])
    assert before(0.5) < 0.5 < before(0.99)
    assert np.all(np.diff([before(step / 100) for step in range(50, 100)]) > 0)
    after = Guess([(0.85, False)] * 10)
    assert after(0.85) < before(0.85)


def test_a_pair_beside_a_labelled_one_teaches_less_than_one_further_away():
    pairs = {Duo(0, 1): 0.775, Duo(0, 2): 0.776, Duo(0, 3): 0.8}
    assert most_teaching(pairs, {}, set()) in (Duo(0, 1), Duo(0, 2))
    assert most_teaching(pairs, {Duo(0, 1): True}, set()) == Duo(0, 3)
    assert most_teaching(pairs, dict.fromkeys(pairs, True), set()) is None
    assert most_teaching({}, {}, set()) is None


def test_a_promise_takes_more_hits_the_more_it_promises():
    assert [least_hits(rate) for rate in RATES] == [103, 50, 24]


def test_no_question_is_written_twice():
    texts = [question.text.casefold() for question in written()]
    assert len(texts) == len(set(texts))
