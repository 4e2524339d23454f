"""Three parts of which any two keep a claim that all three break."""

from __future__ import annotations

from mapproof import FALSE, TRUE, Bool, Design, Part, State, Step, Var, always, operation


class Track(State):
    """How far the baton is."""

    started: Var[Bool]
    passed: Var[Bool]
    arrived: Var[Bool]


@operation
def boot(s: Track) -> Step:
    """Nobody has run."""
    return Step(
        when=TRUE, then=[s.started.become(FALSE), s.passed.become(FALSE), s.arrived.become(FALSE)]
    )


@operation
def start(s: Track) -> Step:
    """The first runner."""
    return Step(when=TRUE, then=[s.started.become(TRUE)])


@operation
def hand_over(s: Track) -> Step:
    """The second runner."""
    return Step(when=s.started.now, then=[s.passed.become(TRUE)])


@operation
def arrive(s: Track) -> Step:
    """The last runner."""
    return Step(when=s.passed.now, then=[s.arrived.become(TRUE)])


@always
def the_goal_is_not_reached(s: Track) -> Bool:
    """Nobody arrives."""
    return ~s.arrived.now


relay = Design(
    name="relay",
    state=Track,
    init=boot,
    parts=[
        Part(name="a", operations=[start]),
        Part(name="b", operations=[hand_over]),
        Part(name="goal", operations=[arrive], claims=[the_goal_is_not_reached]),
    ],
)
