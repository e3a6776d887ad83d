// For all users of a machine: this file belongs into the folder defaults/pref of the installation of Firefox (on Debian
// /usr/lib/firefox-esr/defaults/pref/autoconfig.js), and has Firefox read firefox.cfg, which belongs into the folder of
// the installation itself. Enterprise policies (policies.json) cannot do this: they leave identity.sync.* alone.
pref("general.config.filename", "firefox.cfg");
pref("general.config.obscure_value", 0);
