// What each test leaves goes when the process ends: more listeners than Node expects.

process.setMaxListeners(1000);
