"""What of a prompt is the question: LlamaIndex's engines put it into a template, among what they retrieved."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import TokenAsyncGen, TokenGen
from pydantic import PrivateAttr

__all__ = ["Template", "TemplatedLLM", "current_template"]


@dataclass(slots=True)
class Template:
    """What is known of the prompt that is being answered."""

    question: str | None
    """What was put in for the question."""
    answers: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Query and scope of what was found or kept for it."""


_CURRENT: ContextVar[Template | None] = ContextVar("mneme_llama_index_template", default=None)


def current_template() -> Template | None:
    """Of the prompt that is being answered; `None` if it was not made of a template."""
    return _CURRENT.get()


@contextmanager
def _answering(template: Template | None) -> Generator[None, None, None]:
    token = _CURRENT.set(template)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _of_program(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Template | None:
    current = _CURRENT.get()
    said = args[1] if len(args) > 1 else kwargs.get("user_msg")
    return Template(None) if current is None and said is None else current


class TemplatedLLM(FunctionCallingLLM):
    """Remembers the template while a prompt that is made of it is answered."""

    _variables: tuple[str, ...] = PrivateAttr(default=())

    def _template(self, prompt: BasePromptTemplate, given: dict[str, Any]) -> Template:
        values = {**prompt.kwargs, **given}
        found = [values[name] for name in self._variables if isinstance(values.get(name), str)]
        return Template(found[0] if found and not found[0].isspace() else None)

    def _forget(self, template: Template) -> None:
        raise NotImplementedError

    async def _aforget(self, template: Template) -> None:
        raise NotImplementedError

    def predict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        with _answering(self._template(prompt, prompt_args)):
            text: str = super().predict(prompt, **prompt_args)
            return text

    def stream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenGen:
        with _answering(self._template(prompt, prompt_args)):
            tokens: TokenGen = super().stream(prompt, **prompt_args)
            return tokens

    async def apredict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        with _answering(self._template(prompt, prompt_args)):
            text: str = await super().apredict(prompt, **prompt_args)
            return text

    async def astream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenAsyncGen:
        with _answering(self._template(prompt, prompt_args)):
            tokens: TokenAsyncGen = await super().astream(prompt, **prompt_args)
            return tokens

    # A program that was made of a model hands over its whole prompt as a conversation, and nothing that was said.

    def predict_and_call(self, *args: Any, **kwargs: Any) -> Any:
        with _answering(_of_program(args, kwargs)):
            return super().predict_and_call(*args, **kwargs)

    async def apredict_and_call(self, *args: Any, **kwargs: Any) -> Any:
        with _answering(_of_program(args, kwargs)):
            return await super().apredict_and_call(*args, **kwargs)

    def structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        template = self._template(prompt, prompt_args)
        with _answering(template):
            try:
                return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            except Exception:
                self._forget(template)
                raise

    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        template = self._template(prompt, prompt_args)
        with _answering(template):
            try:
                return await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            except Exception:
                await self._aforget(template)
                raise

    def stream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        template = self._template(prompt, prompt_args)
        stream = super().stream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        while True:  # whoever reads it must not find the template in between
            try:
                with _answering(template):
                    piece = next(stream)
            except StopIteration:
                return
            except Exception:
                self._forget(template)
                raise
            yield piece

    async def astream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        template = self._template(prompt, prompt_args)
        stream = await super().astream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)

        async def pieces() -> AsyncGenerator[Any, None]:
            while True:
                try:
                    with _answering(template):
                        piece = await anext(stream)
                except StopAsyncIteration:
                    return
                except Exception:
                    await self._aforget(template)
                    raise
                yield piece

        return pieces()
