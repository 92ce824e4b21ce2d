"""The API's own documents: OpenAPI and AsyncAPI as JSON, and a page that people can read without anything else."""

from __future__ import annotations

import html
from collections.abc import Sequence

from aiohttp import web

from services.gateway import docs
from services.gateway.rest.route import Route

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}"
    "td,th{text-align:left;padding:.25rem .8rem .25rem 0;vertical-align:top}"
    "code{font-size:.95em}tr+tr{border-top:1px solid #8884}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Documents:
    """Made once; the routes don't change while the process lives."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._pages = {name: text.encode() for name, text in docs.pages(routes).items()}
        self._page = _page(routes)

    def add_to(self, mounted: web.Application) -> None:
        """Serve the JSON documents beside the routes that they describe."""
        for name in self._pages:
            mounted.router.add_get(f"/{name}", self._json)

    async def _json(self, request: web.Request) -> web.Response:
        name = request.path.rsplit("/", 1)[1]
        return web.Response(body=self._pages[name], content_type="application/json")

    async def page(self, _: web.Request) -> web.Response:
        """`/api/docs`."""
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return web.Response(text=self._page, content_type="text/html", headers=headers)


def _page(routes: Sequence[Route]) -> str:
    rows = "".join(_row(route) for route in routes)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Nightdesk API</title>'
        f"<style>{_STYLE}</style><h1>Nightdesk API</h1>"
        f'<p>REST under <code>{docs.PREFIX}</code>: <a href="{docs.PREFIX}/openapi.json">OpenAPI'
        f'</a>. WebSocket at <code>/ws</code>: <a href="{docs.PREFIX}/asyncapi.json">AsyncAPI</a>.'
        f"</p><table><tr><th>Route<th>What it does<th>For<th>Errors</tr>{rows}</table></html>"
    )


def _row(route: Route) -> str:
    who = ", ".join(route.roles) or "anybody"
    cells = (
        f"<code>{route.method} {html.escape(route.path)}</code>",
        html.escape(route.summary),
        who,
        ", ".join(docs.codes_of(route)),
    )
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells) + "</tr>"
