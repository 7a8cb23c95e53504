"""Shares of the loop: a user who has used up its own waits, so that nobody else does.

The loop is one thread, and a frame may take a thousand times as long as another. So what each user's frames take is
counted as debt, which time pays back, and while a user is in debt its further frames wait. They are carried out once
the debt is paid, and, as long as they are cheap, whenever there is nothing else to do. A user who is alone has
the whole loop.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from zchat.broker.account import Account
from zchat.broker.limits import (
    ALL_OVER_SHARE,
    ALONE_AFTER,
    DEBT,
    RESUME_AFTER,
    RESUME_AT_THE_LATEST,
    SHARE,
    STRANGERS_SHARE,
    WAITING_TRIED,
)
from zchat.names import account_of

Frame = TypeVar("Frame")


class Shares(Generic[Frame]):
    """The accounts of a broker, and the frames that wait. Times are seconds of a clock that never goes back.

    `by_user`: names are their users' own, so that all sessions of a user have one account; else each has its own.
    """

    def __init__(self, *, by_user: bool) -> None:
        self.strangers = Account(STRANGERS_SHARE)
        """That of all who have no session, and no name either."""
        self.due = 0.0
        """When `resume` is to be called again, if it returned None while something waits."""
        self._by_user = by_user
        self._of: dict[str, Account] = {}
        self._over = Account(ALL_OVER_SHARE)  # what all that have waited have cost
        self.waiting: deque[Account] = deque()
        """The accounts of which something waits: while there are some, `resume` is to be called."""
        self._current: Account | None = None
        self._since = 0.0
        self._resumed = False
        self._speaker: Account | None = None  # whose frame was the last but for those that are carried out at once
        self._spoken_at = 0.0
        self._others_spoke_at = 0.0

    def account(self, user: str) -> Account:
        """Return the account of a session of a user, by folded name."""
        if not self._by_user:
            return Account(SHARE)
        name = account_of(user)
        found = self._of.get(name)
        if found is None:
            found = self._of[name] = Account(SHARE)
        return found

    # -- what time is spent on -----------------------------------------------------------------------

    def begin(self, account: Account, now: float) -> None:
        """Record that the loop works for an account from now on, until `begin` or `rest` is called again."""
        if self._current is not None:
            self.rest(now)
        self._current = account
        self._since = now

    def rest(self, now: float) -> None:
        """Record that the loop works for nobody in particular."""
        account = self._current
        if account is not None:
            self._current = None
            seconds = now - self._since
            if seconds > 0.0:
                account.charge(seconds, now)
                if account.debt > DEBT:  # `_is_alone`, without a call: once a frame of who is alone
                    others = self._others_spoke_at if account is self._speaker else self._spoken_at
                    if now - others > ALONE_AFTER:
                        account.debt = DEBT
                if self._resumed:
                    self._over.charge(seconds, now)
            self._resumed = False

    def used(self, account: Account, seconds: float, now: float) -> None:
        """Record that something was done for an account beside what the loop's clock shows, which takes so long.

        A frame was decrypted, for example, or an answer will be encrypted: for nobody else is that done meanwhile.
        """
        account.charge(seconds, now)
        if account.debt > DEBT:
            if self._is_alone(account, now):
                account.debt = DEBT
            else:
                self._over.charge(seconds, now)
                account.be_expensive(now)

    def pass_over(self, seconds: float) -> None:
        """Leave so many seconds of what is going on out of account: the loop's thread did not run then."""
        self._since += seconds

    def spoke(self, account: Account, now: float) -> None:
        """Record that an account's frame asks for something."""
        if account is not self._speaker:
            self._others_spoke_at = self._spoken_at
            self._speaker = account
        self._spoken_at = now

    def _is_alone(self, account: Account, now: float) -> bool:
        """Return whether nobody else has asked for anything lately."""
        others = self._others_spoke_at if account is self._speaker else self._spoken_at
        return now - others > ALONE_AFTER

    # -- what waits ----------------------------------------------------------------------------------

    def must_wait(self, account: Account, now: float) -> bool:
        """Return whether a frame of an account has to wait: it is in debt, or earlier ones wait."""
        return bool(account.waiting) or self.is_over(account, now)

    def is_over(self, account: Account, now: float) -> bool:
        """Return whether an account is in debt, and others ask for something."""
        return account.settle(now) > DEBT and not self._is_alone(account, now)

    def wait(self, account: Account, frame: Frame) -> None:
        """Have a frame wait."""
        if not account.waiting:
            self.waiting.append(account)
            self.due = 0.0
        account.waiting.append(frame)

    def put_back(self, account: Account, frame: Frame) -> None:
        """Have a frame wait that was not carried out whole: before those of its account that wait."""
        if not account.waiting:
            self.waiting.append(account)
            self.due = 0.0
        account.waiting.insert(0, frame)

    def resume(self, now: float, *, idle: bool) -> Frame | None:
        """Return a frame that has waited and is to be carried out now, None if there is none yet.

        `idle`: there is nothing else to do.
        """
        waiting = self.waiting
        over = self._over
        within = over.settle(now) <= DEBT
        due = now + RESUME_AT_THE_LATEST
        for _ in range(min(len(waiting), WAITING_TRIED)):
            account = waiting.popleft()
            debt = account.settle(now)
            paid = debt <= DEBT and within
            if not paid and not (idle and account.is_cheap(now)) and not self._is_alone(account, now):
                waiting.append(account)
                due = min(due, now + max((debt - DEBT) / account.share, (over.debt - DEBT) / over.share))
                continue
            frame: Frame = account.waiting.pop(0)
            if account.waiting:
                waiting.append(account)
            self.begin(account, now)
            self._resumed = paid
            self.due = 0.0
            return frame
        self.due = max(due, now + RESUME_AFTER)
        return None
