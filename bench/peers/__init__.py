"""What the measurements compare with: each peer does the same work its own usual way.

These modules run in the peers' own environments and import nothing of the project's services.
"""
