"""From a generator's probabilities to catalogue items. Every strategy returns ``Decoded``, and only items that exist."""
