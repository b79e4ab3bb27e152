"""Plain data that all processes share: requests, options, cases, results. Knows neither torch nor pytest."""
