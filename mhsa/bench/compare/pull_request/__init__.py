"""A comparison where people look: one comment on a pull request, and the summary of the job."""
