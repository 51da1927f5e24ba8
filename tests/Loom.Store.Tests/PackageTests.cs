using System.Diagnostics;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Goal: the packages are what users need, and no more. Method: packs what was built (package validation runs then), looks into them, and runs a program that has nothing else.</summary>
[NonParallelizable]
internal sealed class PackageTests
{
#if DEBUG
    private const string Configuration = "Debug";
#else
    private const string Configuration = "Release";
#endif

    private string directory = "";

    [OneTimeSetUp]
    public async Task PackAsync()
    {
        directory = Directory.CreateTempSubdirectory("loom-pack-").FullName;
        foreach (string package in (string[])["Loom.Raft", "Loom.Store"])
        {
            await RunAsync(Root(), "pack", Path.Combine("src", package), "--no-build", "--no-restore", "-c", Configuration, "-o", Path.Combine(directory, "feed"));
        }
    }

    [OneTimeTearDown]
    public void Delete() => Directory.Delete(directory, recursive: true);

    [TestCase("Loom.Raft", "DotNext.Net.Cluster")]
    [TestCase("Loom.Store", "Microsoft.FASTER.Core")]
    public async Task A_package_holds_its_assembly_documentation_and_readme_and_hides_what_it_is_made_of(string package, string hidden)
    {
        using ZipArchive archive = await ZipFile.OpenReadAsync(Directory.GetFiles(Path.Combine(directory, "feed"), package + ".*.nupkg").Single());
        string[] files = [$"lib/net10.0/{package}.dll", $"lib/net10.0/{package}.xml", "README.md"];
        Assert.That(archive.Entries.Select(entry => entry.FullName), Is.SupersetOf(files));
        using StreamReader nuspec = new(await archive.GetEntry(package + ".nuspec")!.OpenAsync());
        string line = (await nuspec.ReadToEndAsync()).Split('\n').Single(text => text.Contains($"\"{hidden}\"", StringComparison.Ordinal));
        Assert.That(line, Does.Contain("include=\"Runtime,"), "its types are nobody's business");
        Assert.That(Directory.GetFiles(Path.Combine(directory, "feed"), package + ".*.snupkg"), Has.Length.EqualTo(1));
    }

    /// <summary>Its packages come from this run's folder, and what those need from where the build has it: no network.</summary>
    [Test]
    public async Task A_program_that_refers_to_the_package_alone_runs()
    {
        string version = Path.GetFileName(Directory.GetFiles(Path.Combine(directory, "feed"), "Loom.Store.*.nupkg").Single())["Loom.Store.".Length..^".nupkg".Length];
        string program = Directory.CreateDirectory(Path.Combine(directory, "program")).FullName;
        string known = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        await File.WriteAllTextAsync(Path.Combine(program, "program.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <RestoreSources>{directory}/feed</RestoreSources>
                <RestorePackagesPath>{directory}/packages</RestorePackagesPath>
                <RestoreFallbackFolders>{known}</RestoreFallbackFolders>
                <RestoreLockedMode>false</RestoreLockedMode>
                <NuGetAudit>false</NuGetAudit>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="Loom.Store" Version="{version}" />
              </ItemGroup>
            </Project>
            """);
        await File.WriteAllTextAsync(Path.Combine(program, "Program.cs"), """
            using Loom.Store;
            using Loom.Store.Collections;

            await using LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = "data" });
            await using LoomHold hold = await new LoomLock(store, "jobs").AcquireAsync();
            Console.WriteLine("written at " + await hold.Store.PutAsync("a"u8.ToArray(), "1"u8.ToArray()));
            """);
        Assert.That(await RunAsync(program, "run"), Does.Contain("written at 3"));
    }

    private static async Task<string> RunAsync(string where, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = where, RedirectStandardOutput = true })!;
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.Zero, output);
        return output;
    }

    private static string Root([CallerFilePath] string file = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(file)!, "../.."));
}
