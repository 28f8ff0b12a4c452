"""Translation behind a cache: the pair of languages is the scope, so that no French answer serves a German request.

The translator is real, if small: it takes English sentences of one closed domain, a hotel's desk, apart into who does
what with which things, and says the same by the grammar of German or French, with gender, case and agreement.
"""

import re

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

# For each noun: German word and gender, French word and gender.
NOUNS = {
    "key": ("Schlüssel", "m", "clé", "f"),
    "room": ("Zimmer", "n", "chambre", "f"),
    "station": ("Bahnhof", "m", "gare", "f"),
    "lamp": ("Lampe", "f", "lampe", "f"),
    "bill": ("Rechnung", "f", "facture", "f"),
    "elevator": ("Aufzug", "m", "ascenseur", "m"),
}
# For each adjective: German stem, French masculine and feminine, whether French puts it first.
ADJECTIVES = {
    "quiet": ("ruhig", "calme", "calme", False),
    "big": ("groß", "grand", "grande", True),
    "small": ("klein", "petit", "petite", True),
    "broken": ("kaputt", "cassé", "cassée", False),
    "new": ("neu", "nouveau", "nouvelle", True),
}
THING = r"(?:(?P<adjective>\w+) )?(?P<noun>\w+)"
FRAMES = (
    ("where", rf"where is (?P<article>the) {THING}"),
    ("want", rf"(?:i would like|i want|i need) (?P<article>an?) {THING}"),
    ("is", rf"(?P<article>the) {THING} is (?P<what>\w+)"),
    ("pay", rf"(?:i would like|i want) to pay (?P<article>the) {THING}"),
)
SAID = {
    "de": {"where": "wo ist {}?", "want": "ich möchte {}.", "is": "{} ist {}.", "pay": "ich möchte {} bezahlen."},
    "fr": {"where": "où est {} ?", "want": "je voudrais {}.", "is": "{} est {}.", "pay": "je voudrais payer {}."},
}
STRONG = {"m": ("er", "en"), "f": ("e", "e"), "n": ("es", "es")}  # after "ein": nominative, accusative
WEAK = {"m": ("e", "en"), "f": ("e", "e"), "n": ("e", "e")}  # after "der"
THE = {"m": ("der", "den"), "f": ("die", "die"), "n": ("das", "das")}
A = {"m": ("ein", "einen"), "f": ("eine", "eine"), "n": ("ein", "ein")}


def german(article: str, adjective: str, noun: str, frame: str) -> str:
    """A noun phrase in the case that the frame asks for."""
    case = int(frame in ("want", "pay"))  # the accusative
    word, gender = NOUNS[noun][:2]
    ending = (WEAK if article == "the" else STRONG)[gender][case]
    middle = f"{ADJECTIVES[adjective][0]}{ending} " if adjective else ""
    return f"{(THE if article == 'the' else A)[gender][case]} {middle}{word}"


def french(article: str, adjective: str, noun: str, frame: str) -> str:  # noqa: ARG001 -- cases are German
    """A noun phrase; adjectives agree with the noun and stand where French has them."""
    word, gender = NOUNS[noun][2:]
    if adjective:
        *_, first = ADJECTIVES[adjective]
        agreed = ADJECTIVES[adjective][1 + (gender == "f")]
        word = f"{agreed} {word}" if first else f"{word} {agreed}"
    if article != "the":
        return f"{'une' if gender == 'f' else 'un'} {word}"
    return f"l'{word}" if word[0] in "aeiouhé" else f"{'la' if gender == 'f' else 'le'} {word}"


def translate(text: str, language: str) -> str:
    """A sentence of the domain in German ("de") or French ("fr")."""
    plain = re.sub(r"^(?:excuse me|hello|please)\b,? *|,? *\bplease$", "", text.lower().rstrip(" .!?"))
    plain = plain.replace("i'd like", "i would like").replace("where's", "where is").replace("lift", "elevator")
    for frame, pattern in FRAMES:
        found = re.fullmatch(pattern, plain)
        if found is None or found["noun"] not in NOUNS:
            continue
        phrase = (german if language == "de" else french)(
            found["article"], found["adjective"] or "", found["noun"], frame
        )
        feminine = NOUNS[found["noun"]][3] == "f"
        what = ADJECTIVES[found["what"]][0 if language == "de" else 1 + feminine] if frame == "is" else ""
        sentence = SAID[language][frame].format(phrase, what)
        return sentence[0].upper() + sentence[1:]
    raise ValueError(f"cannot translate {text!r}: it is not of this domain")


ASKED = (
    ("Where is the station?", "de", "Wo ist der Bahnhof?"),
    ("Excuse me, where's the station?", "de", "Wo ist der Bahnhof?"),
    ("Excuse me, where's the station?", "fr", "Où est la gare ?"),
    ("I would like a quiet room", "fr", "Je voudrais une chambre calme."),
    ("I'd like a quiet room, please", "fr", "Je voudrais une chambre calme."),
    ("I'd like a big room, please", "fr", "Je voudrais une grande chambre."),
    ("I need a new key", "de", "Ich möchte einen neuen Schlüssel."),
    ("The big lamp is broken", "de", "Die große Lampe ist kaputt."),
    ("The small lamp is broken", "de", "Die kleine Lampe ist kaputt."),
    ("I want to pay the bill", "de", "Ich möchte die Rechnung bezahlen."),
    ("I want to pay the bill, please", "de", "Ich möchte die Rechnung bezahlen."),
    ("The elevator is broken", "fr", "L'ascenseur est cassé."),
)


def main() -> None:
    """Translate what guests say, some of it in other words, and show what may not be served."""
    worked: list[str] = []

    def translated(cache: SemanticCache, text: str, language: str) -> str:
        def work(text: str) -> str:
            worked.append(text)
            return translate(text, language)

        scope = {"from": "en", "to": language}
        return str(cache.get_or_compute(text, work, scope=scope, similarity_threshold=0.9))

    with SemanticCache(":memory:", LocalEmbedder()) as cache:
        for text, language, right in ASKED:
            before = len(worked)
            said = translated(cache, text, language)
            print(f"{'translated' if len(worked) > before else 'from cache'}  {language}  {text}  {said}")
            assert said == right

        stats = cache.stats()
        print(f"{len(worked)} of {len(ASKED)} translated, {stats.hits_semantic} served")
        assert len(worked) == len(ASKED) - stats.hits_semantic
        assert stats.hits_semantic == 3

        # Nearer than the paraphrases above, and another thing: a guard knows that big and small are opposites.
        near = cache.explain("The small lamp is broken", scope={"from": "en", "to": "de"}).candidates[1]
        print(f"{near.similarity:.3f} {near.query}: {near.reason}, {near.detail}")
        assert near.reason == "guarded"

        # What cannot be translated is an error for whoever asked, and nothing is kept.
        try:
            translated(cache, "Is breakfast included?", "de")
        except ValueError as error:
            print("ValueError:", error)
        assert cache.get("Is breakfast included?", scope={"from": "en", "to": "de"}) is None


if __name__ == "__main__":
    main()
