/** One store and one way to the service for the whole app. */
import { fetch } from "expo/fetch";
import { getRandomValues } from "expo-crypto";
import { Phone, Verbatim } from "verbatim-record";
import { ExpoStore } from "verbatim-record/expo";

const api = process.env["EXPO_PUBLIC_VERBATIM_API"] ?? "http://127.0.0.1:8000/api/v1";

/** A short-lived token of the person who is signed in; your app asks its own server for it. */
const token = async (): Promise<string> => process.env["EXPO_PUBLIC_TOKEN"] ?? "";

const settings = { api, token, store: new ExpoStore(), random: getRandomValues };

export const verbatim = new Verbatim({ api, token, random: getRandomValues, fetch });

export const openPhone = (): Phone => Phone.open(settings);

/** Sends what earlier calls have left: after the app was killed, or while it was without a network. */
export const resumeAll = (): Promise<Phone[]> => Phone.resumeAll(settings);
