"""What is printed of a reading, part by part."""

from mhsa.subject.subject import Subject


def part(subject: Subject, name: str) -> tuple[str, str]:
    """Text and origin of a part of the reading; of a mask, what it means."""
    return next((u.text, u.known) for u in subject.understood if u.part == name and (name != "mask" or "mask" in u.declaration))
