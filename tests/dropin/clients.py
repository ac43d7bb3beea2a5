"""Other people's client libraries: how each takes the auth object by its own documentation, and one call.

Each is a generator function that is given the auth object and its API's URL, and that yields what makes the call and
returns the greeting. Client libraries are imported where they're used: all of them together take seconds.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

__all__ = ["CLIENTS", "Client"]

Call = Callable[[], Any]
AsyncCall = Callable[[], Awaitable[Any]]


@dataclasses.dataclass(frozen=True)
class Client:
    """A client library by its name on PyPI, the plug-in whose auth objects it takes, and where its API is."""

    name: str
    plugin: str
    path: str
    run: Callable[[Any, str], Iterator[Call] | AsyncIterator[AsyncCall]]

    def __str__(self) -> str:
        return f"{self.name} on {self.plugin}" + (", async" if self.is_async else "")

    @property
    def is_async(self) -> bool:
        return inspect.isasyncgenfunction(self.run)


CLIENTS: list[Client] = []


def client(name: str, plugin: str, path: str) -> Callable[[Any], Any]:
    """Add a client library to the list."""

    def add(run: Any) -> Any:
        CLIENTS.append(Client(name, plugin, path, run))
        return run

    return add


# requests


@client("zeep", "requests", "/soap")
def zeep(auth: Any, url: str) -> Iterator[Call]:
    import requests
    from zeep import Client, Transport

    session = requests.Session()
    session.auth = auth
    soap = Client(f"{url}?wsdl", transport=Transport(session=session))
    yield lambda: soap.service.Greet("Alice")
    session.close()


@client("gql", "requests", "/graphql")
def gql_of_requests(auth: Any, url: str) -> Iterator[Call]:
    from gql import Client, gql
    from gql.transport.requests import RequestsHTTPTransport

    with Client(transport=RequestsHTTPTransport(url, auth=auth)) as session:
        yield lambda: session.execute(gql("{ greeting }"))["greeting"]


@client("python-gitlab", "requests", "/gitlab")
def python_gitlab(auth: Any, url: str) -> Iterator[Call]:
    import requests
    from gitlab import Gitlab

    session = requests.Session()
    session.auth = auth
    with Gitlab(url, session=session) as gitlab:
        yield lambda: gitlab.projects.get(1).name


@client("atlassian-python-api", "requests", "/jira")
def atlassian(auth: Any, url: str) -> Iterator[Call]:
    import requests
    from atlassian import Jira

    session = requests.Session()
    session.auth = auth
    with Jira(url, session=session) as jira:
        yield lambda: jira.issue("KEY-1")["fields"]["summary"]


@client("pynetbox", "requests", "/netbox")
def pynetbox(auth: Any, url: str) -> Iterator[Call]:
    import pynetbox
    import requests

    session = requests.Session()
    session.auth = auth
    netbox = pynetbox.api(url)
    netbox.http_session = session
    yield lambda: netbox.dcim.sites.get(1).name
    session.close()


@client("pystac-client", "requests", "/stac")
def pystac(auth: Any, url: str) -> Iterator[Call]:
    from pystac_client import Client
    from pystac_client.stac_api_io import StacApiIO

    stac_io = StacApiIO()
    stac_io.session.auth = auth
    catalog = Client.open(url, stac_io=stac_io)
    yield lambda: next(catalog.search(ids=["1"]).items()).id
    stac_io.session.close()


@client("trino", "requests", "")
def trino(auth: Any, url: str) -> Iterator[Call]:
    import requests
    from trino.dbapi import connect

    session = requests.Session()
    session.auth = auth
    host, _, port = url.removeprefix("http://").partition(":")
    with connect(host=host, port=int(port), user="alice", http_session=session) as connection:
        yield lambda: connection.cursor().execute("SELECT greeting").fetchone()[0]


@client("pyodata", "requests", "/odata/")
def pyodata(auth: Any, url: str) -> Iterator[Call]:
    import pyodata
    import requests

    session = requests.Session()
    session.auth = auth
    odata = pyodata.Client(url, session)
    yield lambda: odata.entity_sets.Greetings.get_entity(1).execute().Text
    session.close()


# niquests


@client("caldav", "niquests", "/caldav/")
def caldav(auth: Any, url: str) -> Iterator[Call]:
    from caldav import DAVClient

    with DAVClient(url, auth=auth) as dav:
        calendar = dav.calendar(url=f"{url}alice/")
        yield lambda: calendar.search(event=True)[0].component["summary"]


@client("caldav", "niquests", "/caldav/")
async def caldav_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from caldav.async_davclient import AsyncDAVClient

    async with AsyncDAVClient(url, auth=auth) as dav:
        calendar = dav.calendar(url=f"{url}alice/")

        async def summary() -> Any:
            return (await calendar.search(event=True))[0].component["summary"]

        yield summary


@client("grafana-client", "niquests", "/grafana/")
def grafana(auth: Any, url: str) -> Iterator[Call]:
    from grafana_client import GrafanaApi

    grafana = GrafanaApi.from_url(url, credential=auth)
    yield lambda: grafana.dashboard.get_dashboard("greeter")["dashboard"]["title"]
    grafana.client.s.close()


@client("grafana-client", "niquests", "/grafana/")
async def grafana_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from grafana_client import AsyncGrafanaApi

    grafana = AsyncGrafanaApi.from_url(url, credential=auth)

    async def title() -> Any:
        return (await grafana.dashboard.get_dashboard("greeter"))["dashboard"]["title"]

    yield title
    await grafana.client.s.close()


@client("openmeteo-requests", "niquests", "/weather")
def openmeteo(auth: Any, url: str) -> Iterator[Call]:
    import niquests
    from openmeteo_requests import Client

    with niquests.Session() as session:
        session.auth = auth
        weather = Client(session=session)
        yield lambda: weather.weather_api(url, {"latitude": 52.5})[0].Timezone().decode()


@client("openmeteo-requests", "niquests", "/weather")
async def openmeteo_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import niquests
    from openmeteo_requests import AsyncClient

    async with niquests.AsyncSession() as session:
        session.auth = auth
        weather = AsyncClient(session=session)

        async def timezone() -> Any:
            return (await weather.weather_api(url, {"latitude": 52.5}))[0].Timezone().decode()

        yield timezone


# httpx


@client("webdav4", "httpx", "/webdav")
def webdav4(auth: Any, url: str) -> Iterator[Call]:
    from webdav4.client import Client

    dav = Client(url, auth=auth)
    yield lambda: dav.info("greeting")["display_name"]
    dav.http.close()


@client("postgrest", "httpx", "/postgrest")
def postgrest(auth: Any, url: str) -> Iterator[Call]:
    import httpx
    from postgrest import SyncPostgrestClient

    with SyncPostgrestClient(url, http_client=httpx.Client(auth=auth)) as rest:
        yield lambda: rest.from_("greetings").select("text").execute().data[0]["text"]


@client("postgrest", "httpx", "/postgrest")
async def postgrest_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import httpx
    from postgrest import AsyncPostgrestClient

    async with AsyncPostgrestClient(url, http_client=httpx.AsyncClient(auth=auth)) as rest:

        async def text() -> Any:
            return (await rest.from_("greetings").select("text").execute()).data[0]["text"]

        yield text


@client("ollama", "httpx", "/ollama")
def ollama(auth: Any, url: str) -> Iterator[Call]:
    from ollama import Client

    with Client(url, auth=auth) as ollama:
        yield lambda: ollama.chat("m", [{"role": "user", "content": "Hi"}]).message.content


@client("ollama", "httpx", "/ollama")
async def ollama_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from ollama import AsyncClient

    async with AsyncClient(url, auth=auth) as ollama:

        async def content() -> Any:
            return (await ollama.chat("m", [{"role": "user", "content": "Hi"}])).message.content

        yield content


@client("notion-client", "httpx", "/notion")
def notion(auth: Any, url: str) -> Iterator[Call]:
    import httpx
    from notion_client import Client

    notion = Client(client=httpx.Client(auth=auth), base_url=url)
    yield lambda: notion.pages.retrieve("1")["url"]
    notion.close()


@client("notion-client", "httpx", "/notion")
async def notion_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import httpx
    from notion_client import AsyncClient

    notion = AsyncClient(client=httpx.AsyncClient(auth=auth), base_url=url)

    async def page_url() -> Any:
        return (await notion.pages.retrieve("1"))["url"]

    yield page_url
    await notion.aclose()


@client("typesense", "httpx", "")
def typesense(auth: Any, url: str) -> Iterator[Call]:
    import httpx
    from typesense import Client

    with httpx.Client(auth=auth) as http_client:
        search = Client({"api_key": "unused", "nodes": [url]}, http_client=http_client)
        yield lambda: search.collections["greetings"].documents["1"].retrieve()["text"]


# httpx2


@client("typesense", "httpx2", "")
async def typesense_of_httpx2(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import httpx2
    from typesense import AsyncClient

    async with httpx2.AsyncClient(auth=auth) as http_client:
        search = AsyncClient({"api_key": "unused", "nodes": [url]}, http_client=http_client)

        async def text() -> Any:
            return (await search.collections["greetings"].documents["1"].retrieve())["text"]

        yield text


@client("openai", "httpx2", "/openai")
def openai(auth: Any, url: str) -> Iterator[Call]:
    from openai import DefaultHttpxClient, OpenAI

    with OpenAI(base_url=url, api_key="unused", http_client=DefaultHttpxClient(auth=auth)) as openai:
        messages = [{"role": "user", "content": "Hi"}]
        yield lambda: openai.chat.completions.create(model="m", messages=messages).choices[0].message.content


@client("openai", "httpx2", "/openai")
async def openai_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    http_client = DefaultAsyncHttpxClient(auth=auth)
    async with AsyncOpenAI(base_url=url, api_key="unused", http_client=http_client) as openai:

        async def streamed() -> Any:
            messages = [{"role": "user", "content": "Hi"}]
            stream = await openai.chat.completions.create(model="m", messages=messages, stream=True)
            return "".join([chunk.choices[0].delta.content async for chunk in stream])

        yield streamed


@client("anthropic", "httpx2", "/anthropic")
def anthropic(auth: Any, url: str) -> Iterator[Call]:
    from anthropic import Anthropic, DefaultHttpxClient

    http_client = DefaultHttpxClient(auth=auth)
    with Anthropic(base_url=url, api_key="unused", http_client=http_client) as anthropic:
        messages = [{"role": "user", "content": "Hi"}]
        yield lambda: anthropic.messages.create(model="m", max_tokens=9, messages=messages).content[0].text


@client("anthropic", "httpx2", "/anthropic")
async def anthropic_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

    http_client = DefaultAsyncHttpxClient(auth=auth)
    async with AsyncAnthropic(base_url=url, api_key="unused", http_client=http_client) as anthropic:

        async def text() -> Any:
            messages = [{"role": "user", "content": "Hi"}]
            return (await anthropic.messages.create(model="m", max_tokens=9, messages=messages)).content[0].text

        yield text


@client("mcp", "httpx2", "/mcp")
async def mcp(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    http_client = httpx2.AsyncClient(auth=auth)
    async with http_client, Client(streamable_http_client(url, http_client=http_client)) as mcp:

        async def text() -> Any:
            return (await mcp.call_tool("greet")).content[0].text

        yield text


@client("fastmcp", "httpx2", "/mcp")
async def fastmcp(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from fastmcp import Client

    async with Client(url, auth=auth) as mcp:

        async def text() -> Any:
            return (await mcp.call_tool("greet")).content[0].text

        yield text


@client("gql", "httpx2", "/graphql")
def gql_of_httpx2(auth: Any, url: str) -> Iterator[Call]:
    from gql import Client, gql
    from gql.transport.httpx import HTTPXTransport

    with Client(transport=HTTPXTransport(url, auth=auth)) as session:
        yield lambda: session.execute(gql("{ greeting }"))["greeting"]


@client("gql", "httpx2", "/graphql")
async def gql_of_httpx2_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from gql import Client, gql
    from gql.transport.httpx import HTTPXAsyncTransport

    async with Client(transport=HTTPXAsyncTransport(url, auth=auth)) as session:

        async def greeting() -> Any:
            return (await session.execute(gql("{ greeting }")))["greeting"]

        yield greeting


@client("gidgethub", "httpx2", "/github")
async def gidgethub_of_httpx2(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import httpx2
    from gidgethub.httpx import GitHubAPI

    async with httpx2.AsyncClient(auth=auth) as http_client:
        github = GitHubAPI(http_client, "requester", base_url=url)

        async def name() -> Any:
            return (await github.getitem("/user"))["name"]

        yield name


@client("scim2-client", "httpx2", "/scim")
def scim2(auth: Any, url: str) -> Iterator[Call]:
    import httpx2
    from scim2_client.engines.httpx2 import SyncSCIMClient
    from scim2_models import ScimProvider, User

    with httpx2.Client(base_url=url, auth=auth) as http_client:
        scim = SyncSCIMClient(http_client, provider=ScimProvider([User]))
        yield lambda: scim.query(User, "1").display_name


@client("scim2-client", "httpx2", "/scim")
async def scim2_async(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import httpx2
    from scim2_client.engines.httpx2 import AsyncSCIMClient
    from scim2_models import ScimProvider, User

    async with httpx2.AsyncClient(base_url=url, auth=auth) as http_client:
        scim = AsyncSCIMClient(http_client, provider=ScimProvider([User]))

        async def display_name() -> Any:
            return (await scim.query(User, "1")).display_name

        yield display_name


# aiohttp


@client("gql", "aiohttp", "/graphql")
async def gql_of_aiohttp(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from gql import Client, gql
    from gql.transport.aiohttp import AIOHTTPTransport

    transport = AIOHTTPTransport(url, client_session_args={"middlewares": [auth]})
    async with Client(transport=transport) as session:

        async def greeting() -> Any:
            return (await session.execute(gql("{ greeting }")))["greeting"]

        yield greeting


@client("gidgethub", "aiohttp", "/github")
async def gidgethub_of_aiohttp(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import aiohttp
    from gidgethub.aiohttp import GitHubAPI

    async with aiohttp.ClientSession(middlewares=[auth]) as session:
        github = GitHubAPI(session, "requester", base_url=url)

        async def name() -> Any:
            return (await github.getitem("/user"))["name"]

        yield name


@client("slack_sdk", "aiohttp", "/slack/")
async def slack(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    import aiohttp
    from slack_sdk.web.async_client import AsyncWebClient

    async with aiohttp.ClientSession(middlewares=[auth]) as session:
        slack = AsyncWebClient(base_url=url, session=session)

        async def user() -> Any:
            return (await slack.auth_test())["user"]

        yield user


@client("fhirpy", "aiohttp", "/fhir")
async def fhirpy(auth: Any, url: str) -> AsyncIterator[AsyncCall]:
    from fhirpy import AsyncFHIRClient

    fhir = AsyncFHIRClient(url, aiohttp_config={"middlewares": [auth]})

    async def name() -> Any:
        return (await fhir.get("Patient", "1"))["name"][0]["text"]

    yield name
