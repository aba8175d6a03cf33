"use strict";
// What the pages share: requests to their server, and the player, which plays one clip of a file again and again.
// A page has an element #problem, the player (player.html) and a function draw().
const $ = (id) => document.getElementById(id);
const video = $("video");
let busy = false;
let playing = null;  // the clip in the player: {id, start, end, still}; all of the file where end is null, a picture where still

async function call(path, body) {
  const options = body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  if (response.status === 409) {  // somebody else was faster
    const current = await response.json();
    throw Object.assign(new Error(current.problem), { current });
  }
  if (!response.ok) throw new Error((await response.text()).trim());
  return response.json();
}

async function attempt(work, complaint) {
  if (busy) return;
  busy = true;
  try {
    await work();
    $("problem").textContent = "";
  } catch (error) {
    const lost = error instanceof TypeError;  // fetch's word for a server that does not answer
    $("problem").textContent = `${complaint}: ${lost ? "the server does not answer; is pseudocap still running?" : error.message}`;
  } finally {
    busy = false;
    draw();
  }
}

function playClip(clip) {
  playing = clip;
  $("still").hidden = true;
  video.hidden = false;
  if (clip && !clip.still) { video.src = `clip/${clip.id}#t=${clip.start}`; return; }
  video.removeAttribute("src");
  video.load();
  if (clip) showFrame("");
}

function replay() {
  video.currentTime = playing.start;
  video.play().catch(() => {});
}

function pause() {
  if (video.paused) video.play().catch(() => {}); else video.pause();
}

function showFrame(why) {
  video.hidden = true;
  video.removeAttribute("src");
  $("why").textContent = why;
  $("frame").src = `frame/${playing.id}`;
  $("still").hidden = false;
}

function cannotPlay() {
  if (playing && video.src) showFrame("This browser cannot play the file. The frame at the centre of the clip is displayed instead.");
}

video.addEventListener("error", cannotPlay);
video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) cannotPlay(); });  // only its sound is known
video.addEventListener("ended", () => { if (playing) replay(); });
$("frame").addEventListener("error", () => { $("why").textContent = "Neither the file nor a frame of it can be displayed."; });

// Media fragments stop at an end but do not loop, and timeupdate comes four times a second: too late to be unseen.
function watch() {
  if (playing && !video.hidden) {
    const { start } = playing;
    const end = playing.end ?? video.duration;
    if (!video.seeking && (video.currentTime >= end || video.currentTime < start - 0.5) && video.readyState > 1) replay();
    const share = (video.currentTime - start) / (end - start);
    $("elapsed").style.width = `${100 * Math.min(1, Math.max(0, share || 0))}%`;
  } else {
    $("elapsed").style.width = 0;
  }
  requestAnimationFrame(watch);
}
requestAnimationFrame(watch);
