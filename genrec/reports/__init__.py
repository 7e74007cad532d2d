"""What people look at: pages and tables in the terminal, made from artifacts.

It reads artifacts and results; nothing below imports it, and it trains and decodes nothing.
Pages are self-contained, without scripts from elsewhere; all text is escaped by ``page.py``.
"""
