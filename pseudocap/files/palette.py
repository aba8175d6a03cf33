"""Hold the colours of every page that the package writes or serves, as CSS variables for light and dark screens."""

PALETTE = """:root {
  color-scheme: light dark;
  --ground: light-dark(#f6f5f2, #15171a); --card: light-dark(#ffffff, #1e2126);
  --ink: light-dark(#1c1d1f, #eceae5); --faint: light-dark(#65676c, #a0a3a9); --line: light-dark(#dcdad4, #343940);
  --accent: light-dark(#1d5fbf, #7fb2ff); --wash: light-dark(#e8f0fc, #20304a);
  --warm: light-dark(#c4601a, #f0a36b); --alarm: light-dark(#a02c1c, #ff9a86);
}
"""
