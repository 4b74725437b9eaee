"""Two who change one place at once: one wins, the other is told, nothing is merged."""

from __future__ import annotations

import threading

import pytest

from lifecycle import record
from lifecycle.command import main
from lifecycle.errors import ConflictError
from lifecycle.place import Place
from lifecycle.release import put_release
from tests.conftest import Bucket
from tests.support.stand_ins import publish, quietly, release, served


def test_of_two_who_publish_at_once_one_wins_and_the_other_is_told(place: Place) -> None:
    publish(place, 1)
    seen = record.read_current(place)
    winner = put_release(place, release(2), seen, quietly)
    with pytest.raises(ConflictError, match=winner.version):
        put_release(place, release(3), seen, quietly)
    assert served(place) == winner.version


def test_of_two_who_publish_first_one_wins_and_the_other_is_told(place: Place) -> None:
    winner = put_release(place, release(1), None, quietly)
    with pytest.raises(ConflictError, match=winner.version):
        put_release(place, release(2), None, quietly)
    assert served(place) == winner.version


def test_a_publication_whose_reply_was_lost_is_not_taken_for_a_rival(place: Place) -> None:
    written = publish(place, 1)
    again = record.write(place, written.document, None)
    assert again.document == written.document
    assert len(record.history(place)) == 1


def test_many_who_publish_and_go_back_at_once_leave_one_whole_model_and_each_is_told_the_truth(
    place: Place, bucket: Bucket
) -> None:
    import boto3

    publish(place, 1)
    publish(place, 2)
    barrier, told = threading.Barrier(8), dict[int, str]()

    def change(number: int) -> None:
        client = boto3.session.Session().client("s3")
        barrier.wait()
        try:
            if number % 2:
                seen = record.read_current(place)
                told[number] = put_release(
                    Place(bucket.name, place.prefix, client), release(number), seen, quietly
                ).version
            else:
                told[number] = f"exit {main(['rollback'])}"
        except ConflictError:
            told[number] = "conflict"

    threads = [threading.Thread(target=change, args=(number,)) for number in range(3, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = record.history(place)
    won = [item.version for item in reversed(history)][2:]
    published = [text for text in told.values() if len(text) == 16]
    assert sorted(item for item in won if item in published) == sorted(published)
    assert set(told.values()) - set(published) <= {"conflict", "exit 0", "exit 4", "exit 3"}
    assert len(won) == len(published) + list(told.values()).count("exit 0")
    assert served(place) == history[0].version
