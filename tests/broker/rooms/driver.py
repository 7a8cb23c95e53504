"""Rooms, sessions and members without a broker."""

from __future__ import annotations

from zchat.broker.account import Account
from zchat.broker.limits import SHARE
from zchat.broker.port import Peer
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import RoomLog
from zchat.broker.store.epochs import Epoch


def session_of(user: str, routing_id: bytes = b"r", token: bytes = b"t", window: int = 10) -> Session:
    peer = Peer(routing_id, user.casefold())
    return Session(peer, 0, user, b"the producer ...", token, window, 0.0, Account(SHARE))


def room_of(name: str = "General", first: int = 1, last: int = 0) -> Room:
    return Room(RoomLog(name, first, last, (Epoch(7, first),) if last else ()))


def member_of(room: Room, user: str = "alice", cursor: int = 0, held: int = 0) -> Member:
    member = Member(session_of(user), room, 1, cursor, held)
    room.add(member)
    return member


def block(first: int, last: int, data: bytes = b"data") -> Block:
    return Block(first, last, 0, b"another producer", data)
