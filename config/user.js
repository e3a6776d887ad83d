// For one profile of Firefox on a computer: put this file, or its last line, into the folder of the profile (about:support
// names it), and start Firefox again. It then uses this server at every start, whatever about:config was set to before.
// For all users of a machine see firefox-autoconfig.js beside it.
user_pref("identity.sync.tokenserver.uri", "https://sync.example.com/1.0/sync/1.5");
