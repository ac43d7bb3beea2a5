"""The answers of a small API, that says the same words in the protocol of each client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.scripted import Answer, Received

__all__ = ["GREETING", "answer"]

GREETING = "Good morning"

_XML = (("Content-Type", "application/xml; charset=utf-8"),)
_answers: dict[str, Callable[[Received], Answer]] = {}

Protocol = Callable[[Received], Answer]


def answer(request: Received) -> Answer:
    """Answer in the protocol that the first part of the path names."""
    return _answers[request.path.split("/")[1].partition("?")[0]](request)


def at(path: str) -> Callable[[Protocol], Protocol]:
    """Have a function answer what's requested below a path."""

    def register(protocol: Protocol) -> Protocol:
        _answers[path] = protocol
        return protocol

    return register


def base_url(request: Received) -> str:
    return f"http://{request.headers['host']}"


@at("soap")
def soap(request: Received) -> Answer:
    if request.method == "GET":
        return Answer(200, _WSDL.replace("URL", base_url(request)).encode(), _XML)
    assert b"<name>Alice</name>" in request.body.replace(b"ns0:", b"")
    return Answer(200, _SOAP.replace("GREETING", GREETING).encode(), _XML)


_WSDL = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:tns="urn:greeter" targetNamespace="urn:greeter">
  <message name="Request"><part name="name" type="xsd:string"/></message>
  <message name="Response"><part name="greeting" type="xsd:string"/></message>
  <portType name="Greeter">
    <operation name="Greet"><input message="tns:Request"/><output message="tns:Response"/></operation>
  </portType>
  <binding name="Binding" type="tns:Greeter">
    <soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Greet">
      <soap:operation soapAction="Greet"/>
      <input><soap:body use="literal" namespace="urn:greeter"/></input>
      <output><soap:body use="literal" namespace="urn:greeter"/></output>
    </operation>
  </binding>
  <service name="Service"><port name="Port" binding="tns:Binding"><soap:address location="URL/soap"/></port></service>
</definitions>"""
_SOAP = """<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>
  <m:GreetResponse xmlns:m="urn:greeter"><greeting xmlns="">GREETING</greeting></m:GreetResponse>
</Body></Envelope>"""


@at("graphql")
def graphql(request: Received) -> Answer:
    assert "greeting" in json.loads(request.body)["query"]
    return Answer(200, {"data": {"greeting": GREETING}})


@at("gitlab")
def gitlab(request: Received) -> Answer:
    assert request.path == "/gitlab/api/v4/projects/1"
    return Answer(200, {"id": 1, "name": GREETING})


@at("jira")
def jira(request: Received) -> Answer:
    assert request.path.startswith("/jira/rest/api/2/issue/KEY-1")
    return Answer(200, {"key": "KEY-1", "fields": {"summary": GREETING}})


@at("netbox")
def netbox(request: Received) -> Answer:
    assert request.path == "/netbox/api/dcim/sites/1/"
    return Answer(200, {"id": 1, "name": GREETING, "url": f"{base_url(request)}/netbox/api/dcim/sites/1/"})


@at("stac")
def stac(request: Received) -> Answer:
    root = f"{base_url(request)}/stac"
    catalog = {
        "type": "Catalog",
        "id": "catalog",
        "stac_version": "1.0.0",
        "description": "A catalog",
        "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
        "links": [
            {"rel": "self", "href": root},
            {"rel": "root", "href": root},
            {"rel": "search", "href": f"{root}/search", "type": "application/geo+json", "method": "POST"},
        ],
    }
    item: dict[str, object] = {
        "type": "Feature",
        "id": GREETING,
        "stac_version": "1.0.0",
        "geometry": None,
        "properties": {"datetime": "2030-01-01T00:00:00Z"},
        "links": [],
        "assets": {},
    }
    found = {"type": "FeatureCollection", "features": [item], "links": []}
    return Answer(200, found if request.path.startswith("/stac/search") else catalog)


@at("v1")
def trino(request: Received) -> Answer:
    if request.method == "POST":
        statement = {"id": "query", "infoUri": base_url(request), "nextUri": f"{base_url(request)}/v1/result"}
        return Answer(200, {**statement, "stats": {"state": "QUEUED"}})
    column = {"name": "greeting", "type": "varchar", "typeSignature": {"rawType": "varchar", "arguments": []}}
    result = {"id": "query", "infoUri": base_url(request), "columns": [column], "data": [[GREETING]]}
    return Answer(200, {**result, "stats": {"state": "FINISHED"}})


@at("odata")
def odata(request: Received) -> Answer:
    if "$metadata" in request.path:
        return Answer(200, _EDMX.encode(), _XML)
    assert request.path.startswith("/odata/Greetings%281%29")
    return Answer(200, {"d": {"Id": 1, "Text": GREETING}})


_EDMX = """<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"
    xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">
  <edmx:DataServices m:DataServiceVersion="2.0">
    <Schema Namespace="Greeter" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">
      <EntityType Name="Greeting">
        <Key><PropertyRef Name="Id"/></Key>
        <Property Name="Id" Type="Edm.Int32" Nullable="false"/>
        <Property Name="Text" Type="Edm.String" Nullable="false"/>
      </EntityType>
      <EntityContainer Name="Container" m:IsDefaultEntityContainer="true">
        <EntitySet Name="Greetings" EntityType="Greeter.Greeting"/>
      </EntityContainer>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>"""


@at("caldav")
def caldav(request: Received) -> Answer:
    assert request.method == "REPORT"
    return Answer(207, _REPORT.replace("PATH", request.path).encode(), _XML)


_REPORT = f"""<d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><d:response>
  <d:href>PATHevent.ics</d:href>
  <d:propstat>
    <d:prop><c:calendar-data>BEGIN:VCALENDAR
VERSION:2.0
PRODID:greeter
BEGIN:VEVENT
UID:1
DTSTAMP:20300101T000000Z
DTSTART:20300101T000000Z
SUMMARY:{GREETING}
END:VEVENT
END:VCALENDAR
</c:calendar-data></d:prop>
    <d:status>HTTP/1.1 200 OK</d:status>
  </d:propstat>
</d:response></d:multistatus>"""


@at("webdav")
def webdav(request: Received) -> Answer:
    assert request.method == "PROPFIND"
    return Answer(207, _PROPERTIES.replace("PATH", request.path).encode(), _XML)


_PROPERTIES = f"""<d:multistatus xmlns:d="DAV:"><d:response>
  <d:href>PATH</d:href>
  <d:propstat>
    <d:prop><d:displayname>{GREETING}</d:displayname><d:resourcetype/></d:prop>
    <d:status>HTTP/1.1 200 OK</d:status>
  </d:propstat>
</d:response></d:multistatus>"""


@at("grafana")
def grafana(request: Received) -> Answer:
    assert request.path == "/grafana/api/dashboards/uid/greeter"
    return Answer(200, {"dashboard": {"uid": "greeter", "title": GREETING}, "meta": {}})


@at("weather")
def weather(request: Received) -> Answer:
    import flatbuffers

    assert "format=flatbuffers" in request.path
    builder: Any = flatbuffers.Builder()
    timezone = builder.CreateString(GREETING)
    builder.StartObject(8)
    builder.PrependUOffsetTRelativeSlot(7, timezone, 0)
    builder.FinishSizePrefixed(builder.EndObject())
    return Answer(200, bytes(builder.Output()), (("Content-Type", "application/octet-stream"),))


@at("postgrest")
def postgrest(request: Received) -> Answer:
    assert request.path == "/postgrest/greetings?select=text"
    return Answer(200, [{"text": GREETING}])


@at("ollama")
def ollama(request: Received) -> Answer:
    assert request.path == "/ollama/api/chat"
    message = {"role": "assistant", "content": GREETING}
    return Answer(200, {"model": "m", "message": message, "done": True})


@at("notion")
def notion(request: Received) -> Answer:
    assert request.path == "/notion/v1/pages/1"
    return Answer(200, {"object": "page", "id": "1", "url": GREETING})


@at("collections")
def typesense(request: Received) -> Answer:
    assert request.path == "/collections/greetings/documents/1"
    return Answer(200, {"id": "1", "text": GREETING})


@at("openai")
def openai(request: Received) -> Answer:
    assert request.path == "/openai/chat/completions"
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": GREETING}}
    completion = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    if not json.loads(request.body).get("stream"):
        return Answer(200, completion)
    choice = {"index": 0, "finish_reason": "stop", "delta": {"content": GREETING}}
    chunk = {**completion, "object": "chat.completion.chunk", "choices": [choice]}
    return Answer(
        200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), (("Content-Type", "text/event-stream"),)
    )


@at("anthropic")
def anthropic(request: Received) -> Answer:
    assert request.path == "/anthropic/v1/messages"
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    return Answer(200, {**message, "content": [{"type": "text", "text": GREETING}], "usage": usage})


@at("mcp")
def mcp(request: Received) -> Answer:
    if request.method != "POST" or "id" not in (message := json.loads(request.body)):
        return Answer(202 if request.method == "POST" else 405)
    error = {"code": -32601, "message": "Method not found"}
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "greeter", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "greet", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": GREETING}]},
    }
    outcome = {"result": results[message["method"]]} if message["method"] in results else {"error": error}
    return Answer(200, {"jsonrpc": "2.0", "id": message["id"], **outcome})


@at("github")
def github(request: Received) -> Answer:
    assert request.path == "/github/user"
    return Answer(200, {"login": "alice", "name": GREETING})


@at("scim")
def scim(request: Received) -> Answer:
    schema = "urn:ietf:params:scim:schemas:core:2.0:User"
    assert request.path == "/scim/Users/1"
    meta = {"resourceType": "User", "location": f"{base_url(request)}/scim/Users/1"}
    user = {"schemas": [schema], "id": "1", "userName": "alice", "displayName": GREETING, "meta": meta}
    return Answer(200, json.dumps(user).encode(), (("Content-Type", "application/scim+json"),))


@at("slack")
def slack(request: Received) -> Answer:
    assert request.path == "/slack/auth.test"
    return Answer(200, {"ok": True, "user": GREETING})


@at("fhir")
def fhir(request: Received) -> Answer:
    assert request.path.startswith("/fhir/Patient/1")
    return Answer(200, {"resourceType": "Patient", "id": "1", "name": [{"text": GREETING}]})
