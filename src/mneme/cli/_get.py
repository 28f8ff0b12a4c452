"""`mneme get`: what the cache answers, or why it does not."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click

from mneme import Explanation, Hit
from mneme.cli import _options as options, _show as show
from mneme.cli._command import Command
from mneme.cli._failure import asking, no
from mneme.cli._open import Place, opened_to_ask
from mneme.cli._out import Column, Out

_REASONS = {
    "hit_exact": "an equal query is stored",
    "hit_semantic": "a stored query is similar enough",
    "no_match": "nothing stored is similar enough",
    "no_embedder": "no equal query is stored, and without an embedder nothing else can be found",
    "uncertified": "no equal query is stored, and nothing else is certified",
    "too_long": "no equal query is stored, and the embedder cannot tell this text from others",
    "embedder_failure": "no equal query is stored, and the embedder failed",
    "expired": "the entry that would answer has expired",
    "rejected": "the validator refuses the entry that would answer",
    "low_confidence": "the entry that would answer is not trusted enough",
    "guarded": "the entry that would answer is for a question that needs another answer",
}


@click.command(
    cls=Command,
    usual="a hit",
    no="a miss",
    epilog="""\b
Examples:
  mneme get answers.db "Which city is the capital of France?"
  mneme get answers.db "capital of France" --threshold 0.7
  mneme get answers.db "capital of France" --explain
  mneme get answers.db "What is the capital of France?" --raw > answer.txt""",
)
@options.cache_argument
@click.argument("query")
@options.namespace_option
@options.scope_option
@click.option("--threshold", type=float, default=0.85, show_default=True, help="The least similarity of a hit.")
@options.embedder_option
@click.option("--raw", is_flag=True, help="Print the response alone, byte for byte.")
@click.option("--explain", is_flag=True, help="Show every candidate and the verdict on it; counts as no lookup.")
@options.prefix_option
@options.json_option
def get(
    *,
    cache: str,
    query: str,
    namespace: str,
    scope: Any,
    threshold: float,
    embedder: str,
    raw: bool,
    explain: bool,
    prefix: str,
    as_json: bool,
) -> None:
    """Show the stored answer to QUERY, if one means the same.

    CACHE is a file, or the URL of a server: redis://, rediss://, postgresql://, dynamodb://TABLE.
    """
    if raw + explain + as_json > 1 and not (explain and as_json):
        raise click.UsageError("--raw goes with neither --explain nor --json")
    out = Out(as_json=as_json)
    with opened_to_ask(Place(cache, prefix), embedder, similarity_threshold=threshold) as found, asking():
        explanation = found.explain(query, namespace=namespace, scope=scope) if explain else None
        hit = found.get(query, namespace=namespace, scope=scope) if explanation is None else None
    if explanation is not None:
        _show_explanation(out, explanation)
        if explanation.layer is None:
            raise no()
        return
    if hit is None:
        out.document({"hit": None})
        if not raw:
            out.say("miss: nothing stored answers this", style="yellow")
            out.hint("--explain shows what came near, and why it does not answer")
        raise no()
    if raw:
        _write_raw(hit.response)
        return
    out.document({"hit": show.hit_document(hit)})
    _show_hit(out, hit)


def _write_raw(response: Any) -> None:
    if not isinstance(response, bytes):
        response = show.response_text(response).encode("utf-8", "surrogatepass")
    sys.stdout.buffer.write(response)
    sys.stdout.buffer.flush()


def _show_hit(out: Out, hit: Hit) -> None:
    facts: dict[str, object] = {
        "response": show.response_text(hit.response),
        "layer": hit.layer,
        "similarity": show.similarity(hit.similarity),
        "matched": hit.query,
        "age": show.age(hit.age_seconds),
        "entry": hit.entry_id,
    }
    if hit.metadata:
        facts["metadata"] = show.response_text(hit.metadata)
    out.facts(facts)


def _show_explanation(out: Out, explanation: Explanation) -> None:
    out.document({"explanation": dataclasses.asdict(explanation)})
    why = _REASONS.get(explanation.reason, explanation.reason)
    outcome = "miss" if explanation.layer is None else f"hit on the {explanation.layer} layer"
    out.say(f"{outcome}: {why}", style="yellow" if explanation.layer is None else "green")
    facts: dict[str, object] = {
        "looked up as": explanation.normalized,
        "namespace": explanation.namespace,
        "scope": show.scope_text(explanation.scope) or "none",
        "threshold": f"{explanation.similarity_threshold:g}",
    }
    for one in explanation.candidates:
        if one.detail:
            facts[f"guard, entry {one.entry_id}"] = one.detail
    out.facts(facts)
    if not explanation.candidates:
        out.say("nothing is stored in this namespace and scope that it could be compared with")
        return
    out.table(
        [Column("entry", right=True), Column("similarity", right=True), Column("verdict"), Column("query", ratio=1)],
        [(one.entry_id, show.similarity(one.similarity), one.reason, one.query) for one in explanation.candidates],
    )
