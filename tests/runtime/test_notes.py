"""Notes in memory."""

from mneme._rules.reserved import note
from mneme._runtime.notes import Notes


def test_what_is_known_stays_known_while_all_of_it_is_read_anew():
    records = [
        note("certificate", name, text)._replace(id=number, seq=number)
        for number, (name, text) in enumerate([("*", "for all"), ("=default", "voided")], start=1)
    ]
    notes = Notes()
    notes.replace(records)

    def looking():
        for record in records:
            assert notes.get("certificate", "=default") == "voided"
            yield record

    notes.replace(looking())
    assert (notes.get("certificate", "*"), notes.get("certificate", "=default")) == ("for all", "voided")
