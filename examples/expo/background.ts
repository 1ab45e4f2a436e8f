/** Lets the system send what is left while the app is closed: at the earliest every 15 minutes, when it sees fit. */
import * as BackgroundTask from "expo-background-task";
import * as TaskManager from "expo-task-manager";
import { recorded } from "verbatim-record";
import { resumeAll } from "./record";

const NAME = "send-what-is-left";

// In the global scope, because the system starts the app without a screen.
TaskManager.defineTask(NAME, async () => {
  const phones = await resumeAll();
  await Promise.all(phones.map((phone) => recorded(phone)));
  return BackgroundTask.BackgroundTaskResult.Success;
});

export const sendInBackground = (): Promise<void> => BackgroundTask.registerTaskAsync(NAME, { minimumInterval: 15 });
