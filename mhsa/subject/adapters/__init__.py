"""How mhsa builds and calls an implementation: the base class that users extend, and one adapter for each kind."""
