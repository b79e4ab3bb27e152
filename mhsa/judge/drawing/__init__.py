"""Draws: tables that Hypothesis and a design both draw from, designed cases, and draws that nothing else can move."""
