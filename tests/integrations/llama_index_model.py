"""A model for LlamaIndex that says how often it was asked, or what it is told to say."""

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata, ToolCallBlock
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from pydantic import BaseModel, PrivateAttr
from typing_extensions import override


class Model(FunctionCallingLLM):
    name: str = "m"
    temperature: float = 0.0
    timeout: float = 60.0
    chats: bool = True
    calls_tools: bool = True
    breaks_after: int | None = None
    _said: list = PrivateAttr(default_factory=list)
    _asked: list = PrivateAttr(default_factory=list)

    def __init__(self, *said, **fields):
        super().__init__(**fields)
        self._said = list(said)

    @property
    def asked(self):
        return len(self._asked)

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.name, is_chat_model=self.chats, is_function_calling_model=self.calls_tools)

    def own_prompt(self, prompt):
        return prompt

    def next(self, asked) -> Any:
        self._asked.append(asked)
        said = self._said.pop(0) if self._said else f"answer {self.asked}"
        if isinstance(said, Exception):
            raise said
        return said

    def _message(self, messages):
        said = self.next(messages)
        if isinstance(said, str):
            said = ChatMessage(said, role="assistant")
        return said if isinstance(said, ChatResponse) else ChatResponse(message=said, raw={"object": object()})

    def _pieces(self, messages):
        whole = self._message(messages)
        words = (whole.message.content or "").split(" ")
        for number in range(1, len(words)):
            if number - 1 == self.breaks_after:
                raise ConnectionError
            said = " ".join(words[:number])
            yield ChatResponse(message=ChatMessage(said, role="assistant"), delta=words[number - 1] + " ")
        yield whole.model_copy(update={"delta": words[-1]})

    def _texts(self, prompt):
        words = self.next(prompt).split(" ")
        for number, word in enumerate(words, start=1):
            yield CompletionResponse(text=" ".join(words[:number]), delta=word if number == 1 else f" {word}")

    @llm_chat_callback()
    def chat(self, messages, **kwargs):
        return self._message(messages)

    @llm_chat_callback()
    def stream_chat(self, messages, **kwargs):
        return self._pieces(messages)

    @llm_chat_callback()
    async def achat(self, messages, **kwargs):
        return self._message(messages)

    @llm_chat_callback()
    async def astream_chat(self, messages, **kwargs):
        async def pieces():
            for piece in self._pieces(messages):
                yield piece

        return pieces()

    @override
    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text=self.next(prompt))

    @override
    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        return self._texts(prompt)

    @override
    @llm_completion_callback()
    async def acomplete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text=self.next(prompt))

    @override
    @llm_completion_callback()
    async def astream_complete(self, prompt, formatted=False, **kwargs):
        async def pieces():
            for piece in self._texts(prompt):
                yield piece

        return pieces()

    @override
    def _prepare_chat_with_tools(self, tools, user_msg=None, chat_history=None, tool_required=False, **kwargs):
        messages = [*(chat_history or [])]
        if user_msg:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        told = [tool.metadata.to_openai_tool() for tool in tools]
        return {"messages": messages, "tools": told, "tool_choice": "required" if tool_required else "auto"}

    @override
    def get_tool_calls_from_response(self, response, error_on_no_tool_call=True, **kwargs):
        found = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not found and error_on_no_tool_call:
            raise ValueError("no call of a tool")
        return [
            ToolSelection(tool_id=one.tool_call_id or "", tool_name=one.tool_name, tool_kwargs=one.tool_kwargs)
            for one in found
        ]


class Said(BaseModel):
    """A call of a tool in a client's own words."""

    id: str
    type: str = "function"


def calling(tool, call="c1", **arguments):
    """An answer that calls a tool and says so twice, as that of OpenAI's client does."""
    return ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id=call, tool_name=tool, tool_kwargs=arguments)],
        additional_kwargs={"tool_calls": [Said(id=call)]},
    )
