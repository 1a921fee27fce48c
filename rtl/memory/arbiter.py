"""Several clients of one cache."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.params import CacheParams
from ohmweave.rtl.memory.layouts import Kind, RequestLayout, ResponseLayout
from ohmweave.rtl.memory.word_queue import WordQueue

__all__ = ["CacheArbiter"]

#: Requests whose responses are still to come.
UNDER_WAY = 16


class CacheArbiter(Component):
    """Lets several clients use one cache; each sees its own requests and responses, in order.

    Of clients that ask at once, the one behind the last that was served comes first. A request that the cache does
    not take at once stays until it does.

    Latency: 0 cycles both ways. Throughput: 1 request a cycle, with at most 16 responses to come.

    Parameters
    ----------
    params : CacheParams
    clients : int
        2 to 8.

    Ports
    -----
    client_request : In(stream(RequestLayout)), one a client
    client_response : Out(stream(ResponseLayout)), one a client
        Always to be taken: `ready` is not looked at.
    client_room : Out(clients)
        As `room` of the cache, for each client; low while another one offers a prefetch.
    request, response, room
        Those of the cache, seen from the other side.

    Raises
    ------
    TypeError
        `params` is not a CacheParams, or `clients` no whole number of its range.
    """

    def __init__(self, *, params: CacheParams, clients: int):
        if not isinstance(params, CacheParams):
            raise TypeError(f"params must be CacheParams, not {params!r}")
        whole("CacheArbiter clients", clients, 2, 8, error=TypeError)
        self._clients = clients
        request, response = stream.Signature(RequestLayout(params)), stream.Signature(ResponseLayout(params))
        super().__init__(
            {
                "client_request": In(request).array(clients),
                "client_response": Out(response).array(clients),
                "client_room": Out(clients),
                "request": Out(request),
                "response": In(response),
                "room": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        clients, request = self._clients, self.request
        m.submodules.owners = owners = WordQueue(shape=range(clients), depth=UNDER_WAY)
        last = Signal(range(clients))  # served
        held = Signal()  # the request that is offered has to stay
        holder = Signal(range(clients))
        chosen = Signal(range(clients))
        wanted = Signal()
        answered = Signal()

        # From the client behind the last one on: the last assignment counts.
        with m.Switch(last):
            for n in range(clients):
                with m.Case(n):
                    for step in reversed(range(1, clients + 1)):
                        client = (n + step) % clients
                        with m.If(self.client_request[client].valid):
                            m.d.comb += chosen.eq(client)
        with m.If(held):
            m.d.comb += chosen.eq(holder)

        with m.Switch(chosen):
            for n, client in enumerate(self.client_request):
                with m.Case(n):
                    m.d.comb += [
                        wanted.eq(client.valid),
                        request.payload.eq(client.payload),
                        client.ready.eq(request.ready & (~answered | owners.i.ready)),
                    ]
        m.d.comb += [
            answered.eq(request.p.kind != Kind.PREFETCH),
            request.valid.eq(wanted & (~answered | owners.i.ready)),
            owners.i.valid.eq(request.valid & request.ready & answered),
            owners.i.payload.eq(chosen),
        ]
        m.d.sync += [held.eq(request.valid & ~request.ready), holder.eq(chosen)]
        with m.If(request.valid & request.ready):
            m.d.sync += last.eq(chosen)

        prefetching = [client.valid & (client.p.kind == Kind.PREFETCH) for client in self.client_request]
        for n in range(clients):
            others = prefetching[:n] + prefetching[n + 1 :]
            m.d.comb += self.client_room[n].eq(self.room & ~reduce(or_, others))

        m.d.comb += [self.response.ready.eq(1), owners.o.ready.eq(self.response.valid)]
        for n, response in enumerate(self.client_response):
            m.d.comb += response.payload.eq(Mux(response.valid, self.response.payload.as_value(), 0))
            with m.If(owners.o.payload == n):
                m.d.comb += response.valid.eq(self.response.valid)
        return m
