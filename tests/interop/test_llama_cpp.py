"""The model engine with llama.cpp's own server and a small model, by chat/completions. By `make interop` alone."""

import subprocess
import sys
import venv
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import openai
import pytest
from pydantic import BaseModel, ConfigDict

from jobs.kinds.estimate.engines.openai.chat import Chat
from jobs.kinds.estimate.engines.openai.engine import Endpoints, OpenAIEngine
from jobs.kinds.estimate.engines.openai.responses import Question
from jobs.kinds.estimate.errors import Misconfigured
from tests.interop.conftest import HERE, INSTALL
from tests.jobs.kinds.estimate.material import material

SOURCE = HERE / "llama_cpp"


class Work(BaseModel):
    """An answer that no free talk fits."""

    model_config = ConfigDict(extra="forbid")
    unit: Literal["square", "each", "lf"]
    is_work: bool


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Install the server and the model, 270 MB, in an environment of their own, and serve."""
    directory = tmp_path_factory.mktemp("llama")
    venv.create(directory / "venv", with_pip=True)
    python = str(directory / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    subprocess.run((python, *INSTALL, "-r", str(SOURCE / "requirements.txt")), check=True, timeout=600)
    serve = (python, str(SOURCE / "serve.py"), str(directory))
    with (
        (directory / "server.log").open("wb") as log,
        subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as serving,
    ):
        assert serving.stdout is not None
        said = serving.stdout.readline().decode().strip()
        assert said.startswith("http"), (directory / "server.log").read_text()[-4000:]
        yield said
        serving.kill()


@pytest.fixture
async def client(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """Open the SDK as the engine does."""
    async with openai.AsyncOpenAI(api_key="none", base_url=f"{address}/v1", max_retries=0, timeout=60) as opened:
        yield opened


@pytest.mark.timeout(900)
async def test_an_answer_obeys_the_schema(client: openai.AsyncOpenAI) -> None:
    """The question's schema binds the model, though nothing in the prompt speaks of JSON."""
    (served,) = [model.id async for model in client.models.list()]
    question = Question(
        "draft", "Tell what a contractor means.", [{"type": "input_text", "text": "Paint a door."}], 100
    )
    answer, call = await Chat(client, "openai", served, 60.0, {}).ask(question, Work)
    assert isinstance(answer, Work)
    assert call.output_tokens > 0


@pytest.mark.timeout(900)
async def test_a_model_that_is_not_served_is_the_settings_fault(client: openai.AsyncOpenAI) -> None:
    """The error names the setting, and what the server has."""
    engine = OpenAIEngine(Endpoints(client, api="chat"), model="another", speech_model="none", timeout_s=60)
    with pytest.raises(Misconfigured, match="OPENAI_MODEL"):
        await engine.draft(material("Replace three outlets."), [], {})


def test_its_packages_are_pinned() -> None:
    """Each by version and hash, and without an address."""
    lines = (SOURCE / "requirements.txt").read_text().splitlines()
    names, hashes = lines[::2], lines[1::2]
    assert len(names) == len(hashes) == 6
    assert all("==" in name and "/" not in name for name in names)
    assert all(line.startswith("    --hash=sha256:") for line in hashes)
