import type { Language } from '../wire';
import { de } from './de';
import { en } from './en';

/** Every language says everything: one that lacks a word does not compile. */
export type Words = typeof en;

export const words: Record<Language, Words> = { en, de };
