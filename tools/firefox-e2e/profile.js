// Loaded after harness.js; adds to H what reads and changes the profile's own data.

const { PlacesUtils } = ChromeUtils.importESModule("resource://gre/modules/PlacesUtils.sys.mjs");
const { FormHistory } = ChromeUtils.importESModule("resource://gre/modules/FormHistory.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const sleep = ms => new Promise(done => setTimeout(done, ms));
const ROOTS = ["menu________", "toolbar_____", "unfiled_____", "mobile______"];

Object.assign(H, {
  async bookmarks() {
    const plain = node => {
      const out = { guid: node.guid, title: node.title ?? "" };
      if (node.uri) {
        out.url = node.uri;
        out.keyword = node.keyword ?? null;
        out.tags = node.tags ?? "";
      } else if (node.type == PlacesUtils.TYPE_X_MOZ_PLACE_SEPARATOR) {
        out.separator = true;
      } else {
        out.children = (node.children || []).map(plain);
      }
      return out;
    };
    const trees = {};
    for (const root of ROOTS) {
      trees[root] = plain(await PlacesUtils.promiseBookmarksTree(root)).children;
    }
    return trees;
  },

  addBookmarks(parentGuid, children) {
    return PlacesUtils.bookmarks.insertTree({ guid: parentGuid, children }).then(l => l.map(b => b.guid));
  },

  async addTag(url, tag) {
    PlacesUtils.tagging.tagURI(Services.io.newURI(url), [tag]);
  },

  async findBookmark(title) {
    let found = null;
    const walk = node => {
      if (node.title == title) {
        found = node;
      }
      (node.children || []).forEach(walk);
    };
    for (const children of Object.values(await H.bookmarks())) {
      children.forEach(walk);
    }
    return found;
  },

  async updateBookmark(title, change) {
    const { guid } = await H.findBookmark(title);
    await PlacesUtils.bookmarks.update({ guid, ...change });
    return guid;
  },

  async removeBookmark(title) {
    const { guid } = await H.findBookmark(title);
    await PlacesUtils.bookmarks.remove(guid);
    return guid;
  },

  addVisits(pages) {
    return PlacesUtils.history.insertMany(
      pages.map(p => ({
        url: p.url,
        title: p.title,
        visits: p.visits.map(ms => ({ date: new Date(ms), transition: PlacesUtils.history.TRANSITIONS.TYPED })),
      }))
    ).then(() => true);
  },

  async history(prefix) {
    const db = await PlacesUtils.promiseDBConnection();
    const rows = await db.execute(
      `SELECT h.url, h.title, v.visit_date / 1000 AS ms, v.visit_type AS type
       FROM moz_historyvisits v JOIN moz_places h ON h.id = v.place_id
       WHERE substr(h.url, 1, length(:prefix)) = :prefix ORDER BY h.url, v.visit_date`,
      { prefix }
    );
    return rows.map(r => ["url", "title", "ms", "type"].map(c => r.getResultByName(c)));
  },

  removePages: urls => PlacesUtils.history.remove(urls),

  async addLogins(list) {
    const LoginInfo = Components.Constructor("@mozilla.org/login-manager/loginInfo;1", Ci.nsILoginInfo, "init");
    for (const l of list) {
      await Services.logins.addLoginAsync(new LoginInfo(l.origin, l.origin, null, l.user, l.password, "user", "pass"));
    }
    return true;
  },

  async rawLogins() {
    const all = await Services.logins.getAllLogins();
    return all.filter(l => !l.origin.startsWith("chrome://"));
  },

  async logins() {
    return (await H.rawLogins())
      .map(l => [l.origin, l.formActionOrigin, l.username, l.password, l.QueryInterface(Ci.nsILoginMetaInfo).guid])
      .sort();
  },

  async changeLogin(user, password) {
    const old = (await H.rawLogins()).find(l => l.username == user);
    const bag = Cc["@mozilla.org/hash-property-bag;1"].createInstance(Ci.nsIWritablePropertyBag);
    bag.setProperty("password", password);
    await Services.logins.modifyLoginAsync(old, bag);
    return true;
  },

  async removeLogin(user) {
    const old = (await H.rawLogins()).find(l => l.username == user);
    await Services.logins.removeLoginAsync(old);
    return true;
  },

  async addForms(list) {
    await FormHistory.update(list.map(([fieldname, value]) => ({ op: "add", fieldname, value })));
    return true;
  },

  async forms() {
    const rows = await FormHistory.search(["fieldname", "value"], {});
    return rows.map(r => [r.fieldname, r.value]).sort();
  },

  async addressStore() {
    const { formAutofillStorage } = ChromeUtils.importESModule("resource://autofill/FormAutofillStorage.sys.mjs");
    await formAutofillStorage.initialize();
    return formAutofillStorage.addresses;
  },
  addAddress: async address => (await H.addressStore()).add(address),
  async addresses() {
    const all = await (await H.addressStore()).getAll();
    return all.map(a => [a.guid, a.name, a["street-address"], a.country]).sort();
  },

  async openTab(url) {
    const win = Services.wm.getMostRecentWindow("navigator:browser");
    const tab = win.gBrowser.addTrustedTab(url);
    for (let i = 0; i < 200; i++) {
      if (tab.linkedBrowser.currentURI.spec == url && tab.label && !tab.hasAttribute("busy")) {
        break;
      }
      await sleep(50);
    }
    return tab.linkedBrowser.currentURI.spec;
  },

  async remoteTabs() {
    const clients = await H.engine("tabs").getAllClients();
    return clients.map(c => [c.name, c.tabs.map(t => t.urlHistory[0]).sort()]);
  },
});
return true;
