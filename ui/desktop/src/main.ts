import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { choose } from './backend';
import { Desktop } from './desktop.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
const desktop = new Desktop(await choose());
await desktop.start();
mount(App, { target, props: { desktop } });
