"""What applications do with clients other than the official one; run by the Python that has them.

    python other_clients.py langchain|litellm BASE_URL

Prints one JSON object of what came back. `test_clients.py` says what it should be.
"""

import asyncio
import json
import os
import sys
from typing import Any

TEXT = "hello"
INPUTS = ["here", "we are"]


def langchain(url: str) -> dict[str, Any]:
    from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
    from pydantic import BaseModel

    class Length(BaseModel):
        """Whether the text's length is even or odd."""

        length: str

    def chat(**options: Any) -> ChatOpenAI:
        return ChatOpenAI(model="lengths", base_url=url, api_key="unused", max_retries=0, **options)

    def texts(chunks: Any) -> str:
        return "".join(c.text if isinstance(c.text, str) else c.text() for c in chunks)

    model, own_words = chat(), chat(use_responses_api=True)
    reply = chat(logprobs=True, top_logprobs=2, stream_usage=True).invoke(TEXT)
    shaped = [("system", os.environ["SHAPED"]), ("human", TEXT)]
    tooled = model.bind_tools([Length])
    embeddings = OpenAIEmbeddings(model="letters", base_url=url, api_key="unused", check_embedding_ctx_length=False)
    return {
        "invoke": reply.content,
        "usage": reply.usage_metadata["output_tokens"],
        "logprob token": reply.response_metadata["logprobs"]["content"][0]["token"],
        "finish": reply.response_metadata["finish_reason"],
        "stream": texts(model.stream(TEXT)),
        "async": asyncio.run(model.ainvoke(TEXT)).content,
        "batch": [r.content for r in model.batch(["a", "ab", "abc"])],
        "tools": [tooled.invoke(TEXT).content, tooled.invoke(TEXT).tool_calls],
        "structured": model.with_structured_output(Length, method="json_schema").invoke(shaped).length,
        "json mode": model.with_structured_output(Length, method="json_mode").invoke(shaped).length,
        "responses": texts([own_words.invoke(TEXT)]),
        "responses stream": texts(own_words.stream(TEXT)),
        "completions": OpenAI(model="lengths", base_url=url, api_key="unused", max_retries=0).invoke(TEXT),
        "embeddings": embeddings.embed_documents(INPUTS),
        "embedding": embeddings.embed_query(INPUTS[0]),
    }


def litellm(url: str) -> dict[str, Any]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it is fetched
    import litellm as client

    client.telemetry = False
    to = {"api_base": url, "api_key": "unused", "num_retries": 0}
    messages = [{"role": "user", "content": TEXT}]

    def chat(**options: Any) -> Any:
        return client.completion(model="openai/lengths", messages=messages, **to, **options)

    def streamed() -> str:
        return "".join(c.choices[0].delta.content or "" for c in chat(stream=True))

    def refused() -> str:
        try:
            client.completion(model="openai/nobody", messages=messages, **to)
        except client.NotFoundError as error:
            return type(error).__name__
        return "not refused"

    reply = chat(temperature=0, n=2, user="u", logprobs=True, top_logprobs=2)
    return {
        "completion": [c.message.content for c in reply.choices],
        "usage": reply.usage.completion_tokens,
        "header": reply._hidden_params["additional_headers"]["llm_provider-x-shokunin-specialist"],
        "stream": streamed(),
        "async": asyncio.run(client.acompletion(model="openai/lengths", messages=messages, **to))
        .choices[0]
        .message.content,
        "text": client.text_completion(model="text-completion-openai/lengths", prompt=TEXT, **to).choices[0].text,
        "responses": client.responses(model="openai/lengths", input=TEXT, **to).output[0].content[0].text,
        "embeddings": [d["embedding"] for d in client.embedding(model="openai/letters", input=INPUTS, **to).data],
        "unknown": refused(),
    }


if __name__ == "__main__":
    print(json.dumps({"langchain": langchain, "litellm": litellm}[sys.argv[1]](sys.argv[2])))
