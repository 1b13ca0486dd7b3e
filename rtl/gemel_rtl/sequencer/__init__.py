"""The sequencer: instruction window, decoder, address registers, loops, queues and semaphores of a core."""
