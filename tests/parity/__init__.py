"""Parity with torch: calls as torch types them, and what torch 2.13 answered."""
