"""Settings of all tests."""

from hypothesis import settings

# A slow machine is no failing test
settings.register_profile("without-deadline", deadline=None)
settings.load_profile("without-deadline")
