"use strict";
// Replaces what is live on the page by what the server has made of it since.
(() => {
  const live = document.getElementById("live");
  const link = document.getElementById("link");
  const events = new EventSource(location.href);
  events.onopen = () => { link.textContent = "live"; };
  events.onmessage = (event) => { live.innerHTML = event.data; };
  events.onerror = () => {
    link.textContent = events.readyState === EventSource.CLOSED ? "no longer live" : "connecting again";
  };
})();
