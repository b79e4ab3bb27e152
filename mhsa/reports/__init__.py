"""From results to text: terminal, HTML, JUnit XML, Markdown, annotations."""
