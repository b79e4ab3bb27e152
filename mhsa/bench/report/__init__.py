"""From measurements to tables, pictures and pages."""
