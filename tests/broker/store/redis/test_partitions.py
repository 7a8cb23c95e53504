"""Where rooms and their keys lie: in partitions that any server of a cluster may hold."""

from __future__ import annotations

from binascii import crc_hqx

from zchat.broker.store.redis.partitions import PARTITIONS, TAGS, Keys, partition_of

SLOTS = 16_384


def slot_of(key: bytes) -> int:
    """Return the slot of a key as Redis Cluster has it: of what the first braces hold."""
    start = key.index(b"{") + 1
    return crc_hqx(key[start : key.index(b"}", start)], 0) % SLOTS


def test_the_partitions_lie_evenly_among_the_slots_of_a_cluster() -> None:
    width = SLOTS // PARTITIONS
    assert [crc_hqx(b"%d" % tag, 0) % SLOTS for tag in TAGS] == [
        part * width + width // 2 for part in range(PARTITIONS)
    ]


def test_all_keys_of_a_partition_lie_in_its_slot_whatever_rooms_are_called() -> None:
    keys = Keys("zchat")
    for part in range(PARTITIONS):
        names = [*keys.shelves[part], keys.log(part, b"a{b}c"), keys.seen(part, b"}{" * 8, b"room")]
        assert {slot_of(name) for name in names} == {slot_of(keys.shelves[part].info)}
    assert {slot_of(each) for each in (keys.format, keys.holder, keys.brokers, keys.sanctions, keys.counts)} == {
        slot_of(keys.shelves[0].info)
    }


def test_a_room_has_its_partition_for_ever() -> None:
    rooms = ["general", "straße", "@alice\nbob", ""]
    assert [partition_of(room) for room in rooms] == [61, 12, 38, 0]


def test_keys_begin_with_the_prefix_and_two_prefixes_share_none() -> None:
    assert Keys("zchat").shelves[0].info == b"zchat:{40821}:info"
    assert Keys("other:2").log(1, b"general") == b"other:2:{5469}:log:general"
