"""The table of all routes, and the aiohttp application made from it."""

from __future__ import annotations

from aiohttp import web

from services.gateway.docs import PREFIX
from services.gateway.parts import Parts
from services.gateway.rest import (
    agents,
    api_keys,
    auth_routes,
    contacts,
    conversations,
    counts,
    explain,
    inboxes,
    labels,
    me,
    messages,
    policies,
    queue,
    routing,
    teams,
    wishes,
)
from services.gateway.rest.door import open_door
from services.gateway.rest.pipeline import Endpoint, answers
from services.gateway.rest.reading import Documents
from services.gateway.rest.route import Route

ROUTES: tuple[Route, ...] = (
    *auth_routes.ROUTES,
    *me.ROUTES,
    *contacts.ROUTES,
    *counts.ROUTES,
    *conversations.ROUTES,
    *messages.ROUTES,
    *wishes.ROUTES,
    *explain.ROUTES,
    *queue.ROUTES,
    *agents.ROUTES,
    *teams.ROUTES,
    *inboxes.ROUTES,
    *policies.ROUTES,
    *labels.ROUTES,
    *routing.ROUTES,
    *api_keys.ROUTES,
)


def install(application: web.Application, parts: Parts) -> None:
    """Mount REST at `PREFIX`."""
    door = open_door(parts)
    mounted = web.Application(middlewares=[answers(door)])
    # Paths are tried in this order, and most requests bring a message.
    others = [route for route in ROUTES if route not in messages.ROUTES]
    for route in (*messages.ROUTES, *others):
        mounted.router.add_route(route.method, route.path, Endpoint(route, door).handle)
    documents = Documents(ROUTES)
    documents.add_to(mounted)
    application.add_subapp(PREFIX, mounted)
    application.router.add_get("/api/docs", documents.page)
