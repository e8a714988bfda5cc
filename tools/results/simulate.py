"""Simulate some hundred installations over two years, with the product's own events. The random numbers are seeded.

Among them are a host that runs make from cron, services that are switched several times a day or on the day of a full
count, events that arrive late or twice, identifiers that were reset, installations that were silent for more than 90
days or opted in before the project's retention begins, user-defined services and overrides, and names that are on
exactly four and five installations.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from onramp_analytics import events

Row = dict[str, Any]

_NAMES = """
traefik plex jellyfin sonarr radarr prowlarr portainer homepage adguard vaultwarden nextcloud uptime-kuma
authentik grafana prometheus immich home-assistant paperless-ngx bazarr overseerr tautulli qbittorrent sabnzbd
gitea n8n mealie freshrss audiobookshelf kavita navidrome syncthing dozzle watchtower cloudflared pihole
wg-easy influxdb mosquitto zigbee2mqtt frigate node-red esphome mariadb postgres redis minio duplicati kopia
code-server it-tools stirling-pdf changedetection linkding wallabag miniflux searxng trilium bookstack wikijs
outline planka vikunja firefly-iii actual grocy homebox tandoor photoprism lidarr readarr whisparr jellyseerr
ombi transmission deluge nzbget jackett flaresolverr calibre-web komga ubooquity minecraft-server valheim
factorio terraria satisfactory ark-server zomboid
"""
SERVICES = _NAMES.split()
ON_FOUR, ON_FIVE = "on-four-installations", "on-five-installations"
OVERRIDES = ["plex-nvidia", "jellyfin-nfs", "sonarr-nfs", "traefik-metrics", "radarr-nfs", "immich-gpu"]
OWN_SERVICES, OWN_OVERRIDE = ["my-own-wiki", "my-own-shop"], "my-own-override"
COMMANDS = [
    "start",
    "stop",
    "restart",
    "up",
    "down",
    "logs",
    "enable-service",
    "disable-service",
    "update",
    "build",
    "backup",
    "enable-override",
]
#: How long a command takes on a usual host, in milliseconds.
USUAL = {"start": 4000, "up": 6000, "update": 60_000, "build": 30_000, "backup": 120_000, "logs": 20_000}
PUBLISHED = "\n" + "".join(
    f"{kind} {name}\n"
    for kind, names in (
        ("service", [*SERVICES, ON_FOUR, ON_FIVE]),
        ("override", OVERRIDES),
        ("command", COMMANDS),
    )
    for name in names
)


@dataclass
class Installation:
    """One installation while its life is simulated."""

    chance: random.Random
    identifier: str
    joined: date
    enabled: set[str] = field(default_factory=set)
    overrides: set[str] = field(default_factory=set)
    has_full_counts: bool = True


def installations(number: int, until: date, seed: int = 18, days: int = 560) -> list[Row]:
    """Return what a number of installations sent until a day, as PostHog stores it, each installation's in order.

    An event about a service or an override also has a `real_name`, which is never sent. The tests use it to know what
    is enabled; the database ignores it.

    Args:
        number: the number of installations.
        until: the last day.
        seed: for the random numbers; the same seed gives the same events.
        days: the number of days before `until` in which they joined.
    """
    chance = random.Random(seed)
    places = list(range(number))
    chance.shuffle(places)
    rows: list[Row] = []
    for place in places:
        joined = until - timedelta(days=20 + int((days - 20) * chance.random() ** 0.8))
        one = Installation(random.Random(chance.random()), _identifier(chance), joined)
        one.enabled = _first_services(one.chance, place)
        rows += _arrivals(one.chance, _life(one, place, until), until)
    return rows


def _first_services(chance: random.Random, place: int) -> set[str]:
    """Return the services that are enabled on the first day. A few of them are common, and most are rare."""
    wanted = {name for rank, name in enumerate(SERVICES) if chance.random() < 0.85 / (1 + rank / 6)}
    wanted |= {ON_FOUR} if place < 4 else set()
    wanted |= {ON_FIVE} if place < 5 else set()
    return wanted | (set(OWN_SERVICES) if chance.random() < 0.3 else set())


def _life(one: Installation, place: int, until: date) -> Iterator[tuple[date, Row]]:
    """Yield (day, event) of an installation: first what is enabled, then the commands and changes."""
    chance, day, busy = one.chance, one.joined, one.chance.uniform(0.05, 0.5)
    if place in (6, 7):
        until = min(until, one.joined + timedelta(days=30))  # silent ever since
    counted = ""
    while day <= until:
        half = f"{day.year}-{day.month > 6}"
        if day == one.joined or place == 8 or chance.random() < busy:
            if one.has_full_counts and half != counted:  # with the first command of a half-year
                counted = half
                yield from ((day, each) for each in _full_count(one))
                if one.enabled and chance.random() < 0.3:
                    yield day, _switch(one, "service", chance.choice(sorted(one.enabled)))
            if place == 8:
                yield from ((day, each) for _ in range(48) for each in _run(one, "update"))  # from cron
            else:
                yield from ((day, each) for each in _session(one, place))
        if place == 9 and (day - one.joined).days == 60:
            one.identifier, one.has_full_counts = _identifier(chance), False  # reset-id
        day += timedelta(days=1)


def _full_count(one: Installation) -> Iterator[Row]:
    for name in sorted(one.enabled):
        yield _switched(one, "service", name, on=True)
    for name in sorted(one.overrides):
        yield _switched(one, "override", name, on=True)


def _session(one: Installation, place: int) -> Iterator[Row]:
    """Yield the events of a day on which the installation is used."""
    chance = one.chance
    for command in chance.choices(COMMANDS, weights=range(len(COMMANDS), 0, -1), k=chance.randint(1, 4)):
        yield from _run(one, command)
    if chance.random() < 0.08:
        yield _switch(one, "service", chance.choice(SERVICES))
    if place == 10:  # several times a day
        for _ in range(3):
            yield _switch(one, "service", "plex")
    if chance.random() < 0.01:
        yield _switch(one, "override", chance.choice(OVERRIDES))
    if chance.random() < 0.03 and one.has_full_counts:  # without one, the queries forget names that OnRamp lacks
        yield _switch(one, "service", chance.choice(OWN_SERVICES))
        yield _switch(one, "override", OWN_OVERRIDE)


def _switch(one: Installation, kind: str, name: str) -> Row:
    """Enable a service or an override, or disable it if it is enabled."""
    there = one.enabled if kind == "service" else one.overrides
    there ^= {name}
    return _switched(one, kind, name, on=name in there)


def _switched(one: Installation, kind: str, name: str, *, on: bool) -> Row:
    scaffold = {"has_scaffold": len(name) % 3 == 0} if on and kind == "service" else {}
    event = _event(one, f"{kind}_{'enabled' if on else 'disabled'}", **{f"{kind}_name": name}, **scaffold)
    return event | {"real_name": name}


def _run(one: Installation, command: str) -> Iterator[Row]:
    chance = one.chance
    failed, stopped = chance.random() < 0.04, command == "logs" and chance.random() < 0.9
    took = int(USUAL.get(command, 300) * chance.uniform(0.5, 2))
    yield _event(one, "command_executed", command=command, success=not (failed or stopped), duration_ms=took)
    if failed or stopped:
        kind = "signal_INT" if stopped else chance.choice(["exit_1", "exit_2", "exit_2", "signal_KILL"])
        yield _event(one, "error_occurred", command=command, error_type=kind)


def _event(one: Installation, name: str, **properties: object) -> Row:
    values = events.clean(name, properties, PUBLISHED.encode(), events.VERSION)
    assert values is not None
    found: Row = json.loads(events.build(name, values, one.identifier, 0, one.chance.randbytes(16)))
    return found


def _arrivals(chance: random.Random, life: Iterator[tuple[date, Row]], until: date) -> Iterator[Row]:
    """Date the events and their arrival: two days later, sometimes much later, and sometimes twice."""
    for day, event in life:
        late = 2 if chance.random() < 0.97 else chance.randint(3, 40)
        arrived = min(day + timedelta(days=late), until)
        event["timestamp"] = f"{day}T12:00:00.000000Z"
        event["created_at"] = f"{arrived}T06:00:00.000000Z"
        yield event
        if chance.random() < 0.01:
            yield event


def _identifier(chance: random.Random) -> str:
    return str(uuid.UUID(bytes=chance.randbytes(16), version=4))
