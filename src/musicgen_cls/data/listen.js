// The line over timeline and spectrogram follows the sound; a click on them sets its position.
(() => {
  const playerOf = (element) => element.closest?.(".player");
  const soundOf = (player) => player.querySelector("audio.sound");
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

  function now(line, time) {
    let nearest = 0;
    line.middle.forEach((middle, n) => {
      if (Math.abs(middle - time) < Math.abs(line.middle[nearest] - time)) nearest = n;
    });
    const probabilities = line.probabilities[nearest];
    const best = probabilities.indexOf(Math.max(...probabilities));
    const share = `${line.genres[best]} ${Math.round(100 * probabilities[best])} %`;
    return probabilities[best] < line.threshold ? `unsure (${share})` : share;
  }

  function show(player) {
    const sound = soundOf(player);
    const place = `${Math.min(100, (100 * sound.currentTime) / Number(player.dataset.seconds))}%`;
    for (const cursor of player.querySelectorAll(".cursor")) cursor.style.left = place;
    const text = player.querySelector(".now");
    if (text) text.textContent = `${clock(sound.currentTime)}  ${now(JSON.parse(player.dataset.line), sound.currentTime)}`;
    if (!sound.paused && player.isConnected) requestAnimationFrame(() => show(player));
  }

  for (const event of ["play", "seeked", "pause"]) {
    document.addEventListener(event, ({ target }) => {
      if (!target.matches("audio.sound")) return;
      if (event === "play") {
        for (const other of document.querySelectorAll("audio")) if (other !== target) other.pause();
      }
      show(playerOf(target));
    }, true); // events of sounds do not bubble
  }

  document.addEventListener("click", (event) => {
    const strip = event.target.closest?.(".player .strip");
    if (!strip) return;
    const box = strip.getBoundingClientRect();
    const player = playerOf(strip);
    soundOf(player).currentTime = (Number(player.dataset.seconds) * (event.clientX - box.left)) / box.width;
  });

  // The tracks are one group for the keyboard: arrows choose, Tab leaves. Gradio makes each radio button its own group.
  const tracksOf = (element) => [...(element.closest?.("#tracks")?.querySelectorAll("input[type=radio]") ?? [])];

  document.addEventListener("focusin", ({ target }) => {
    for (const button of tracksOf(target)) button.tabIndex = button === target ? 0 : -1;
  });

  document.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const buttons = tracksOf(event.target);
    const next = step && buttons[buttons.indexOf(event.target) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  });

  const live = setInterval(() => {
    const parts = document.querySelectorAll("#answer, #continuation");
    for (const part of parts) part.setAttribute("aria-live", "polite");
    if (parts.length) clearInterval(live);
  }, 200);
})();
