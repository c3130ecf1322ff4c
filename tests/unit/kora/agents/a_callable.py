"""Callables for tests to load by name: whatever a user's module may hold."""

import asyncio
import functools
import threading


def run(ticket, work):
    """What `Acts` says."""
    return ACTS[ticket.ticket_id](ticket, work)


ACTS = {}


async def sleeps(ticket, work):
    await asyncio.sleep(0)


def yields(ticket, work):
    yield 1


async def streams(ticket, work):
    yield 1


def one(ticket):
    return None


def three(ticket, work, more):
    return None


def many(*arguments, **more):
    return None


def keyword(ticket, work, *, must):
    return None


number = 7
partial = functools.partial(three, more=1)
built_in = max
thread = threading.Thread()


class Agent:
    def method(self, ticket, work):
        return None

    @staticmethod
    def run(ticket, work):
        return None

    def __call__(self, ticket, work):
        return None


class Asynchronous:
    async def __call__(self, ticket, work):
        return None


agent = Agent()
asynchronous = Asynchronous()
