// Steps through the moments of each player. Nothing moves before a reader asks for it; where the system asks for less
// motion, the button goes one step at a press.
for (const player of document.querySelectorAll(".player")) {
  const moments = [...player.querySelectorAll("[data-moment]")];
  const [button, slider, place] = ["button", "input", "output"].map((name) => player.querySelector(name));
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let timer;

  const show = (shown) => {
    for (const moment of moments) moment.hidden = Number(moment.dataset.moment) !== shown;
    slider.value = shown + 1;
    place.textContent = `${shown + 1} of ${slider.max}`;
  };
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    button.textContent = still ? "Next" : "Play";
  };
  const next = () => show(Number(slider.value) % slider.max);

  button.addEventListener("click", () => {
    if (still) return next();
    if (timer !== undefined) return stop();
    button.textContent = "Pause";
    next();
    timer = setInterval(next, 900);
  });
  slider.addEventListener("input", () => {
    stop();
    show(slider.value - 1);
  });
  stop();
  show(slider.value - 1);
  player.querySelector(".controls").hidden = false;
}
