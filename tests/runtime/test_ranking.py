"""The eviction policies against the plainest program that does the same."""

import sys
import threading

import pytest
from hypothesis import given, strategies as st

from mneme._runtime import gdsf, sieve
from mneme._runtime.gdsf import GDSF
from mneme._runtime.ranking import Kept, RankedUsageLog, ranking_of
from mneme._runtime.sieve import Sieve

SPACES = ("a", "b", "c")
QUOTAS = ("a", "b")


class PlainGDSF:
    """Everything is worked out anew for each victim."""

    def __init__(self):
        self.entries = {}  # id: [namespace, frequency, worth, priority, used]
        self.inflation, self.clock, self.costs = 0.0, 0, []

    def written(self, kept):
        cost = kept.cost
        if cost > 0:
            self.costs.append(cost)
        else:
            cost = sum(self.costs) / len(self.costs) if self.costs else 1.0
        frequency = self.entries[kept.id][1] if kept.id in self.entries else 0
        self.entries[kept.id] = [kept.namespace, frequency, cost / max(kept.size, 1), 0, 0]
        self.hit(kept.id)

    def hit(self, entry_id):
        if entry_id in self.entries:
            entry = self.entries[entry_id]
            self.clock += 1
            entry[1] += 1
            entry[3:] = self.inflation + entry[1] * entry[2], self.clock

    def removed(self, entry_id):
        self.entries.pop(entry_id, None)

    def victims(self, namespace, count, spare):
        def order(entry_id):
            return (entry_id in spare, *self.entries[entry_id][3:])

        found = [each for each, entry in self.entries.items() if namespace in (None, entry[0])]
        chosen = sorted(found, key=order)[:count]
        self.inflation = max([self.inflation, *(self.entries[each][3] for each in chosen)])
        return chosen


class PlainSieve:
    """The algorithm of the paper, one victim at a time, with a hand that is an entry."""

    def __init__(self):
        self.order = []  # [id, namespace], oldest first
        self.visited = {}
        self.hands = dict.fromkeys((None, *QUOTAS))

    def written(self, kept):
        if kept.id not in self.visited:
            self.order.append((kept.id, kept.namespace))
        self.visited[kept.id] = kept.id in self.visited

    def hit(self, entry_id):
        if entry_id in self.visited:
            self.visited[entry_id] = True

    def queue(self, namespace):
        return [each for each, space in self.order if namespace in (None, space)]

    def after(self, entry_id, namespace):
        queue = self.queue(namespace)
        later = queue[queue.index(entry_id) + 1 :]
        return later[0] if later else None

    def removed(self, entry_id):
        if entry_id not in self.visited:
            return
        for namespace, hand in self.hands.items():
            if hand == entry_id:
                self.hands[namespace] = self.after(entry_id, namespace)
        del self.visited[entry_id]
        self.order = [pair for pair in self.order if pair[0] != entry_id]

    def victims(self, namespace, count, spare):
        chosen = []
        queue = self.queue(namespace)
        for _ in range(count):
            free = [each for each in queue if each not in spare and each not in chosen]
            if not free:
                break
            current = self.hands[namespace] or queue[0]
            while current not in free or self.visited[current]:
                if current in free:
                    self.visited[current] = False
                current = self.after(current, namespace) or queue[0]
            chosen.append(current)
            self.hands[namespace] = self.after(current, namespace)
        return chosen + [each for each in queue if each in spare][: count - len(chosen)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("new"), st.sampled_from(SPACES), st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.integers(0, 5)),
        st.tuples(st.just("again"), st.integers(0, 30), st.sampled_from([0.0, 0.25, 8.0]), st.integers(1, 5)),
        st.tuples(st.just("hit"), st.integers(0, 30)),
        st.tuples(st.just("remove"), st.integers(0, 30)),
        st.tuples(st.just("evict"), st.sampled_from([None, *QUOTAS]), st.integers(1, 4), st.integers(0, 3)),
        st.tuples(st.just("look"), st.sampled_from([None, *QUOTAS]), st.integers(1, 4)),
    ),
    max_size=120,
)


@pytest.mark.parametrize(("ranking", "plain"), [(GDSF, PlainGDSF), (Sieve, PlainSieve)])
@given(steps=STEPS, slack=st.sampled_from([0, 4, 1024]))
def test_a_ranking_chooses_as_the_plain_program_does(ranking, plain, steps, slack):
    """With little slack, what is outdated is thrown out in the middle of it all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gdsf, "_SLACK", slack)
        patch.setattr(sieve, "_SLACK", slack)
        fast, slow = ranking(QUOTAS), plain()
        kept = {}
        for step, *values in steps:
            if step == "new":
                one = Kept(len(kept) + 1, *values)
                kept[one.id] = one
                fast.written([one])
                slow.written(one)
            elif step == "again" and values[0] in kept and values[0] in alive(slow):
                one = kept[values[0]]._replace(cost=values[1], size=values[2])
                fast.written([one])
                slow.written(one)
            elif step == "hit":
                fast.hit(values[0])
                slow.hit(values[0])
            elif step == "remove":
                fast.removed(values)
                slow.removed(values[0])
            elif step == "evict":
                namespace, count, newest = values
                spare = set(list(kept)[len(kept) - newest :])
                chosen = fast.victims(namespace, count, spare)
                assert chosen == slow.victims(namespace, count, spare)
                fast.removed(chosen)
                for each in chosen:
                    slow.removed(each)
            elif step == "look":  # what is chosen and stays all the same, because the store failed
                assert fast.victims(*values, ()) == slow.victims(*values, ())


def test_the_hand_begins_anew_when_everything_before_it_is_gone():
    ranking = Sieve()
    ranking.written([Kept(number, "a", 1.0, 10) for number in (1, 2, 3)])
    ranking.hit(1)
    assert ranking.victims(None, 1, ()) == [2]  # having passed over 1; the hand is at 3
    ranking.removed([2, 3])
    ranking.written([Kept(4, "a", 1.0, 10)])
    assert ranking.victims(None, 1, ()) == [1]


def alive(plain):
    return plain.entries if isinstance(plain, PlainGDSF) else plain.visited


@pytest.mark.parametrize("policy", ["gdsf", "sieve"])
def test_no_more_is_held_than_twice_what_there_is(policy):
    """However often entries come and go without any being evicted."""
    ranking = ranking_of(policy, ["a"])
    for number in range(1, 30_001):
        ranking.written([Kept(number, "a", 1.0, 10)])
        ranking.removed([number - 10])
    held = [ranking._heap, ranking._own["a"]] if policy == "gdsf" else [ranking._queue.ids, ranking._own["a"].ids]
    assert all(len(each) <= 2 * 10 + 1024 + 1 for each in held)
    ranking.clear()
    assert ranking.victims(None, 5, ()) == []


def test_least_recently_used_is_left_to_the_store():
    assert ranking_of("lru", ["a"]) is None


def test_every_hit_that_is_counted_is_told():
    ranking = ranking_of("sieve", [])
    ranking.written([Kept(number, "a", 1.0, 10) for number in (1, 2, 3)])
    log = RankedUsageLog(0.0, ranking)
    log.hit_exact("a", 1, 5.0, 0.5, 0.25)
    log.hit_semantic("a", 2, 5.0, 0.5, 0.25)
    assert ranking.victims(None, 1, ()) == [3]
    assert log.totals("a").cost_saved == 0.5


@pytest.mark.parametrize("policy", ["gdsf", "sieve"])
def test_hits_and_evictions_at_the_same_time_lose_nothing(policy):
    ranking = ranking_of(policy, [])
    ranking.written([Kept(number, "a", 1.0, 10) for number in range(1, 1001)])
    stop = threading.Event()

    def read():
        while not stop.is_set():
            for number in range(1, 1001):
                ranking.hit(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=read) for _ in range(3)]
    gone = set()
    try:
        for thread in threads:
            thread.start()
        for _ in range(100):
            chosen = ranking.victims(None, 10, ())
            assert len(chosen) == 10
            assert not gone & set(chosen)
            gone |= set(chosen)
            ranking.removed(chosen)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert len(gone) == 1000
    assert ranking.victims(None, 1, ()) == []
