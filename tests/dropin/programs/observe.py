"""Functions that are observed: plain, async, generators, methods, nested, failing, with and without what they take."""
import asyncio

from interactiveai import Interactive, get_client, observe

client = Interactive()


@observe()
def plain(a, b=2, *, c=None):
    return {"sum": a + b, "c": c}


@observe(name="renamed", as_type="tool")
async def asynchronous(text):
    await asyncio.sleep(0)
    return text.upper()


@observe(capture_input=False, capture_output=False)
def silent(secret):
    return secret


@observe
def outer(n):
    get_client().update_current_trace(name="outer trace", user_id="u", tags=["observed"])
    get_client().update_current_span(metadata={"n": n})
    return [plain(n), silent("s")]


@observe(as_type="generation")
def model(prompt):
    get_client().update_current_generation(model="m", usage_details={"input": 1, "output": 2}, output="said")
    return "returned"


@observe()
def failing(x):
    raise KeyError(x)


@observe()
def counting(n):
    for number in range(n):
        yield f"{number};"


@observe(as_type="chain")
async def streaming(n):
    for number in range(n):
        yield f"{number},"


class Service:
    @observe()
    def method(self, x):
        return x


plain(1, c="text")
asyncio.run(asynchronous("abc"))
outer(5)
model("hi")
try:
    failing("missing")
except KeyError:
    pass
assert list(counting(3)) == ["0;", "1;", "2;"]


async def read():
    return [each async for each in streaming(2)]


assert asyncio.run(read()) == ["0,", "1,"]
assert Service().method("m") == "m"
plain(3, interactiveai_trace_id="abcdefabcdefabcdefabcdefabcdefab")
client.flush()
client.shutdown()
