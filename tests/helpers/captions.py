"""The captions that the tests of the network use."""

CAPTIONS = ["a red square moves to the left", "two dogs play", "a blue square moves up and then stops"]
