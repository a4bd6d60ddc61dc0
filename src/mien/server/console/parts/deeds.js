// What was done, in words: the actions of the audit log.

const DEEDS = {
  enroll: "Enrolled",
  rename: "Renamed a person",
  merge: "Merged two people",
  tag: "Changed tags",
  remove: "Erased a person",
  remove_template: "Erased a template",
  export: "Gave out templates",
  identify: "Identified",
  search: "Searched",
  verify: "Compared two photos",
  create_gallery: "Created a gallery",
  remove_gallery: "Erased a gallery",
  create_key: "Created an API key",
  revoke_key: "Revoked an API key",
  job_enroll: "Started a large enrollment",
  job_migrate: "Started a migration",
  job_cancel: "Canceled a job",
};

// Done to a gallery, not in one.
const TO_A_GALLERY = { create_gallery: "Created the gallery", remove_gallery: "Erased the gallery" };

/** An action in words; one that is not known, as it is called. */
export function deed(action) {
  return DEEDS[action] ?? action.replaceAll("_", " ");
}

/** An action and where it was done: the words that stand before the gallery's name, if there is one. */
export function deedBefore(action, gallery) {
  if (!gallery) return deed(action);
  return `${TO_A_GALLERY[action] ?? `${deed(action)} in`} `;
}
