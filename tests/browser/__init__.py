"""Tests that drive the dashboard with chromium."""
